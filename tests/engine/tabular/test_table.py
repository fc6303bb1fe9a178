"""Tests of the encoder of table rows: types, what is missing or new, and hostile values."""

import json
import math
import random
import tracemalloc
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
from toy_project.data.column import KNOWN, MISSING, OTHER, ColumnType
from toy_project.data.encoder import encoder_settings
from toy_project.data.table import (
    FARTHEST,
    TableEncoder,
    TableEncoderConfig,
)
from toy_project.errors import ProjectError
from toy_project.rules import ConfigError


def fitted(values, **settings) -> TableEncoder:
    """An encoder of one column, `x`."""
    rows = [{"x": value} for value in values]
    return TableEncoder.fit(rows, encoder_settings({"name": "table", **settings}))


def type_of(values, **settings) -> ColumnType:
    return fitted(values, **settings).inputs[0].type


def code_of(encoder: TableEncoder, value) -> float:
    [code] = encoder.encode({"x": value})
    return code


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, None], "numeric"),
        ([1.5, math.nan, 2], "numeric"),
        ([Decimal("1.5"), Decimal(2)], "numeric"),
        (["1", "-2.5", "+3", ".5", "6.02e23", "NA"], "numeric"),
        ([" 1 ", ""], "numeric"),
        (["1", "two"], "categorical"),
        (["00501", "90210"], "categorical"),
        (["1_000", "2_000"], "categorical"),
        (["1,5", "2,5"], "categorical"),
        (["٣", "4"], "categorical"),
        (["red", "green", None], "categorical"),
        ([True, False, None], "boolean"),
        (["true", "False", "TRUE"], "boolean"),
        (["yes", "no"], "categorical"),
        ([date(2024, 1, 31), None], "date"),
        ([datetime(2024, 1, 31, 12)], "date"),
        (["2024-01-31", "2024-02-01T12:00:00Z", "n/a"], "date"),
        (["31.01.2024", "01.02.2024"], "categorical"),
        (["2024-01-31", "soon"], "categorical"),
        (["true", "1"], "categorical"),
    ],
)
def test_the_training_rows_suggest_a_type(values, expected):
    assert type_of(values) == expected


@pytest.mark.parametrize("kind", ColumnType)
def test_a_type_can_be_set(kind):
    encoder = fitted(["1", "0", "20240131"], types={"x": kind})
    assert encoder.inputs[0].type is kind
    assert np.isfinite(encoder.encode({"x": "1"})).all()


def test_the_type_of_a_column_that_is_not_there_is_refused():
    with pytest.raises(
        ConfigError, match=r"data.encoder.types.y is not a setting; choose one of: x"
    ):
        fitted([1], types={"y": "numeric"})


def test_typed_values_and_their_text_are_the_same():
    """CSV has text only; a request and Parquet have types."""
    values = {
        "number": [1.5, -2e10, 3, None],
        "flag": [True, False, True, None],
        "day": [date(2024, 1, 31), date(1960, 5, 1), datetime(2030, 1, 1, 6), None],
        "name": ["a", "b", "a", None],
    }
    rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    texts = [
        {name: "NaN" if one is None else str(one) for name, one in row.items()} for row in rows
    ]
    settings = TableEncoderConfig(min_count=1)
    encoder, other = TableEncoder.fit(rows, settings), TableEncoder.fit(texts, settings)
    assert encoder == other
    for row, text in zip(rows, texts, strict=True):
        assert np.array_equal(encoder.encode(row), encoder.encode(text))


def test_numbers_are_standardised():
    encoder = fitted(range(1000))
    encoded = np.stack([encoder.encode({"x": value}) for value in range(1000)])
    assert encoded.dtype == np.float32 and encoded.shape == (1000, 1)
    assert encoded.mean() == pytest.approx(0, abs=1e-6)
    assert encoded.std() == pytest.approx(1, rel=1e-3)


def test_a_missing_number_is_the_mean_with_a_flag_if_training_lacks_some_too():
    assert fitted([1, 3]).encode({"x": None}).tolist() == [0]
    assert fitted([1, 3, None]).encode({"x": None}).tolist() == [0, 1]
    assert fitted([1, 3, None]).encode({"x": 3}).tolist() == [1, 0]


@pytest.mark.parametrize("value", [None, math.nan, "", "  ", "NA", "n/a", "NaN", "None", "null"])
def test_what_counts_as_missing(value):
    assert fitted([1, 3, value]).encode({"x": value}).tolist() == [0, 1]
    assert code_of(fitted(["a", "a", "b"]), value) == MISSING


def test_a_row_may_lack_the_column():
    assert fitted([1, 3]).encode({}).tolist() == [0]


def test_what_counts_as_missing_can_be_set():
    encoder = fitted(["NA", "NA", "DE", "DE"], missing=["", "Unknown"])
    assert code_of(encoder, "UNKNOWN") == MISSING
    assert encoder.inputs[0].categories == ("DE", "NA")
    assert code_of(encoder, "") == MISSING


def test_rare_and_new_categories_are_others():
    encoder = fitted(["a", "a", "b", "b", "b", "c"])
    assert encoder.inputs[0].categories == ("b", "a")
    assert [code_of(encoder, value) for value in "bacd"] == [KNOWN, KNOWN + 1, OTHER, OTHER]
    assert encoder.spec.category_sizes == (4,)


def test_only_the_most_frequent_categories_are_told_apart():
    values = [f"v{number}" for number in range(50) for _ in range(number + 2)]
    encoder = fitted(values, max_categories=10)
    assert encoder.inputs[0].categories == tuple(f"v{number}" for number in range(49, 39, -1))


def test_a_column_of_many_different_texts_takes_little_memory(monkeypatch):
    monkeypatch.setattr("toy_project.data.column.MAX_COUNTED", 1000)
    rows = ({"x": f"{number:040}" if number % 2 else "often"} for number in range(20_000))
    tracemalloc.start()
    encoder = TableEncoder.fit(rows, TableEncoderConfig())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert encoder.inputs[0].type is ColumnType.categorical
    assert encoder.inputs[0].categories == ("often",)
    assert peak < 1e6  # 10,000 texts take 2 MB


def test_numbers_of_a_category_are_the_same_with_and_without_a_point():
    encoder = fitted([1, 1, 2.0, 2], types={"x": "categorical"})
    assert encoder.inputs[0].categories == ("1", "2")
    assert code_of(encoder, 1.0) == code_of(encoder, "1") == KNOWN


def test_a_category_of_a_file_is_the_one_of_a_request():
    """A CSV has 1.0 for an integer of a column with gaps, and True for what JSON writes as true."""
    encoder = fitted(["1.0", "1.0", "2.", "2.0", "True", "True"], types={"x": "categorical"})
    assert encoder.inputs[0].categories == ("1", "2", "true")
    assert [code_of(encoder, one) for one in (1, 1.0, "1", "1.00")] == [KNOWN] * 4
    assert code_of(encoder, True) == code_of(encoder, "TRUE") == KNOWN + 2
    codes = fitted(["007.0", "1.50", ".0", "v1.0"] * 2).inputs[0].categories
    assert codes == (".0", "007.0", "1.50", "v1.0")


@pytest.mark.parametrize("huge", [1e308, -1e308, "1e308", -(10**300)])
def test_a_huge_number_is_cut_and_leaves_the_others_in_place(huge):
    values = [*range(100)]
    encoder, usual = fitted([*values, huge]), fitted(values)
    for value in values:
        near = usual.encode({"x": value})
        assert encoder.encode({"x": value}) == pytest.approx(near, abs=0.1)
    assert abs(encoder.encode({"x": huge})[0]) == FARTHEST


@pytest.mark.parametrize("value", [math.inf, "inf", "-Infinity", "1e999", 10**400, -(10**400)])
def test_a_number_that_is_infinite_as_a_float_is_missing(value):
    for encoder in (fitted([1, 3, None]), fitted([1, 3, value])):
        assert encoder.encode({"x": value}).tolist() == [0, 1]


@pytest.mark.parametrize(
    "values", [[5, 5, 5], ["5"], [None, None], ["", "NA"], [True], [1e-320] * 3]
)
def test_a_constant_or_empty_column_says_nothing(values):
    encoder = fitted(values)
    for value in (5, 7, -1e300, None, True):
        assert encoder.encode({"x": value})[0] == 0


def test_a_rare_flag_keeps_its_meaning():
    encoder = fitted([0] * 999 + [1])
    assert encoder.encode({"x": 1}) > encoder.encode({"x": 0})


def test_a_date_is_its_day_and_its_place_in_the_year_and_the_week():
    start = date(2023, 1, 1)
    encoder = fitted([start + timedelta(days=number) for number in range(365)])
    assert encoder.spec.num_numbers == 5
    one, week_later = (encoder.encode({"x": f"2023-05-{day:02}"}) for day in (1, 8))
    assert np.allclose(one[3:], week_later[3:], atol=1e-6) and one[0] < week_later[0]
    [next_year] = [encoder.encode({"x": "2024-05-01"})]
    assert np.allclose(one[1:3], next_year[1:3], atol=0.05)
    assert encoder.encode({"x": None}).tolist() == [0] * 5


def test_times_with_an_offset_are_in_utc():
    encoder = fitted(["2024-01-01", "2024-03-01"])
    same = [datetime(2024, 2, 1, 12, tzinfo=UTC), "2024-02-01T12:00Z", "2024-02-01T14:00+02:00"]
    vectors = [encoder.encode({"x": value}).tolist() for value in same]
    assert vectors[0] == vectors[1] == vectors[2]


@pytest.mark.parametrize(
    "value", ["0001-01-01T00:00+14:00", "9999-12-31T23:59-12:00", "2024-13-01"]
)
def test_a_date_that_is_none_is_missing(value):
    assert fitted(["2024-01-01", "2024-03-01"]).encode({"x": value}).tolist() == [0] * 5


@pytest.mark.parametrize("value", [b"\x00", [1], {"a": 1}])
def test_values_of_no_type_are_refused(value):
    with pytest.raises(ProjectError, match=r"^column 'x' holds a \w+; add it to data.encoder.ign"):
        fitted([value])
    encoder = TableEncoder.fit([{"x": value, "y": 1}], TableEncoderConfig(ignore=["x"]))
    assert [column.name for column in encoder.inputs] == ["y"]


def test_a_table_needs_a_column():
    with pytest.raises(ConfigError, match=r"encoder.inputs must be one or more columns"):
        fitted([1], ignore=["x"])


NAMES = ["a b", "a.b", "class", "_x", "ü", "日本", "'", '"', "a\nb", "", "{}", "=1+1", "\\", "null"]


def test_a_column_may_have_any_name():
    rows = [{name: value for name in NAMES} for value in (1, 2)]
    encoder = TableEncoder.fit(rows, TableEncoderConfig())
    assert [column.name for column in encoder.inputs] == NAMES
    assert [*encoder.fields()["features"].type] == NAMES
    assert encoder.row({"features": rows[0]}) == rows[0]
    assert len(encoder.encode(rows[0])) == len(NAMES)


MIXED = [
    {"n": 1, "c": "a", "b": True, "d": "2024-01-31"},
    {"n": 2.5, "c": "b", "b": False, "d": None},
    {"n": None, "c": "a", "b": None, "d": "2020-02-29"},
    {"n": -4, "c": None, "b": True, "d": "2021-06-30"},
]


@pytest.fixture
def mixed() -> TableEncoder:
    """An encoder of a column of each type, all with missing values."""
    return TableEncoder.fit(MIXED, TableEncoderConfig())


def test_json_keeps_the_encoder(mixed):
    assert TableEncoder.from_dict(json.loads(json.dumps(mixed.to_dict()))) == mixed


def test_the_example_is_a_row(mixed):
    json.dumps(mixed.example)
    assert mixed.example.keys() == MIXED[0].keys()
    assert np.isfinite(mixed.encode(mixed.example)).all()


def test_any_row_becomes_finite_numbers_and_codes_in_range(mixed):
    draw = random.Random(0)
    pool = [None, "", 0, -1, 2**70, 1e300, math.nan, math.inf, "x", "2024-01-01", True, "😀", "1e5"]
    for _ in range(500):
        vector = mixed.encode({name: draw.choice(pool) for name in MIXED[0]})
        numbers, codes = np.split(vector, [mixed.spec.num_numbers])
        assert np.isfinite(numbers).all() and (np.abs(numbers) <= FARTHEST).all()
        assert len(codes) == len(mixed.spec.category_sizes)
        assert all(
            0 <= code < size for code, size in zip(codes, mixed.spec.category_sizes, strict=True)
        )


def test_baselines_get_numbers(mixed):
    features = mixed.features()
    linear, trees = (features[kind][1].fit_transform(MIXED) for kind in ("linear", "boosting"))
    assert linear.shape == (4, mixed.spec.num_numbers + sum(mixed.spec.category_sizes))
    assert np.isfinite(linear).all()
    assert np.array_equal(trees, np.stack(list(map(mixed.encode, MIXED))))


def test_the_documentation_of_a_request_tells_types_and_ranges(mixed):
    fields = mixed.fields()["features"].type
    described = {name: field.limits["description"] for name, field in fields.items()}
    assert (fields["n"].type, fields["b"].type) == (float, bool)
    assert fields["c"].limits["examples"] == ["a"]
    assert described == {
        "n": "in training -4 to 2.5",
        "c": "known: a",
        "b": "true or false",
        "d": "in training 2020-02-29 to 2024-01-31",
    }
    assert not any(field.required for field in fields.values())


def test_predictions_show_the_columns(mixed):
    assert mixed.shown(MIXED[0]) == MIXED[0]
