import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from miniature import make_rows
from toy_project.config import DataConfig, OnMissing
from toy_project.data.dataset import Split, write_split
from toy_project.data.preprocessing import (
    Processed,
    SplitName,
)
from toy_project.data.rows import Row, Rows
from toy_project.data.spec import DataSpec
from toy_project.errors import ProjectError
from toy_project.rules import typed

from ..conftest import DATA, encoded, make_config, process

Prepare = Callable[..., Processed]


@pytest.fixture
def prepare(tmp_path: Path) -> Prepare:
    """A function of rows, and of settings of `data`, which preprocesses these rows."""

    def prepared(rows: Sequence[Row], **settings: Any) -> Processed:
        return process(
            rows, make_config(data=typed("data", DataConfig, asdict(DATA) | settings)), tmp_path
        )

    return prepared


def labelled(number: int) -> list[Row]:
    """Rows whose sources are numbered."""
    return [
        Row({"text": f"word n{i}", "label": "ab"[i % 2]}, source=f"mine.csv:{i + 2}")
        for i in range(number)
    ]


def values(processed: Processed, name: str = "test") -> list[Any]:
    return [row.values for row in processed.rows[SplitName(name)]]


def texts(processed: Processed) -> dict[str, list[str]]:
    return {name: [row["text"] for row in values(processed, name)] for name in SplitName}


def test_no_group_is_in_two_splits(processed):
    groups = [{row.group for row in rows} for rows in processed.rows.values()]
    assert sum(map(len, groups)) == len(set().union(*groups))


def test_every_row_is_in_one_split_and_every_label_in_each(processed):
    found = [row for rows in processed.rows.values() for row in rows]
    assert sorted(found, key=str) == sorted(make_rows(), key=str)
    for rows in processed.rows.values():
        assert {row.values["label"] for row in rows} == {"animals", "plants", "stones"}


def test_the_seed_chooses_the_split(prepare):
    first, again, other = (values(prepare(make_rows(), split_seed=seed)) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_rows_without_a_group_are_split_in_proportion(prepare):
    sizes = {name: len(rows) for name, rows in prepare(labelled(200)).rows.items()}
    assert sizes == {"train": 140, "validation": 30, "test": 30}


def test_a_label_that_cannot_be_in_every_split_is_named(prepare):
    rows = [*make_rows(), Row({"text": "lonely", "label": "rare"}, "g")]
    with pytest.raises(ProjectError, match="label 'rare' has no row in the validation split"):
        prepare(rows)


def test_what_is_saved_is_what_was_made(processed, tmp_path):
    processed.save(tmp_path / "processed")
    assert DataSpec.load(tmp_path / "processed") == processed.spec
    splits = Split.load(tmp_path / "processed" / "test.safetensors"), encoded(processed, "test")
    [loaded], [made] = (list(split.batches(1000)) for split in splits)
    assert all(one.equal(other) for one, other in zip(loaded, made, strict=True))
    saved = Rows(tmp_path / "processed" / "test.parquet")
    assert list(saved) == [row._replace(source="") for row in processed.rows[SplitName.test]]


class TestTime:
    """The setting `data.split=time`."""

    @pytest.mark.parametrize(
        "moment",
        [
            lambda day: day,
            lambda day: f"2024-01-01T00:00:00.{day:06}",
            lambda day: date.fromordinal(700_000 + day),
            lambda day: datetime.fromtimestamp(day, UTC),
            lambda day: str(day / 7),
        ],
    )
    def test_the_newest_rows_are_tested(self, moment, prepare):
        rows = [row._replace(time=moment(99 - i)) for i, row in enumerate(labelled(100))]
        made = texts(prepare(rows, split="time"))
        newest_first = [row.values["text"] for row in rows]
        assert made["test"] == newest_first[:15]
        assert made["validation"] == newest_first[15:30]
        assert made["train"] == newest_first[30:]

    def test_equal_times_stay_together(self, prepare):
        rows = [row._replace(time=i // 10) for i, row in enumerate(labelled(100))]
        made = texts(prepare(rows, split="time"))
        assert [len(made[name]) % 10 for name in SplitName] == [0, 0, 0]

    def test_what_is_no_time_is_named(self, prepare):
        rows = [row._replace(time=f"2024-01-{i + 1:02}") for i, row in enumerate(labelled(40))]
        with pytest.raises(ProjectError) as caught:
            prepare(rows, split="time")
        reason = "the time must be a date, a time or a number, got '2024-01-32'"
        assert str(caught.value).startswith(f"mine.csv:33: {reason}; mine.csv:34: ")
        assert str(caught.value).endswith("; and 4 more")

    @pytest.mark.parametrize("time", ["NaN", "-inf", math.inf, "1_000"])
    def test_what_is_at_no_time_is_named(self, time, prepare):
        rows = [row._replace(time=type(time)(i)) for i, row in enumerate(labelled(40))]
        rows[3] = rows[3]._replace(time=time)
        with pytest.raises(ProjectError) as caught:
            prepare(rows, split="time")
        reason = "the time must be a date, a time or a number"
        assert str(caught.value) == f"mine.csv:5: {reason}, got {time!r}"

    @pytest.mark.parametrize("on_duplicate", ["drop", "keep"])
    def test_a_group_is_whole_at_its_newest_time(self, on_duplicate, prepare):
        rows = [row._replace(time=i, group=f"g{i % 50}") for i, row in enumerate(labelled(100))]
        rows_of = prepare(rows, split="time", on_duplicate=on_duplicate).rows
        newest_first = [row.group for row in reversed(rows[50:])]
        assert {row.group for row in rows_of[SplitName.test]} == set(newest_first[:8])
        assert {row.group for row in rows_of[SplitName.validation]} == set(newest_first[8:15])
        assert sum(map(len, rows_of.values())) == 100

    def test_equal_inputs_that_are_kept_stay_together(self, prepare):
        rows = [*labelled(60), *labelled(20)]
        rows = [row._replace(time=i) for i, row in enumerate(rows)]
        made = texts(prepare(rows, split="time", on_duplicate="keep"))
        found = [set(of_split) for of_split in made.values()]
        assert sum(map(len, found)) == len(set().union(*found)) == 60

    @pytest.mark.parametrize(("number", "fraction"), [(20, 0.01), (3, 0.15)])
    def test_a_share_of_no_row_is_named(self, number, fraction, prepare):
        rows = [row._replace(time=i) for i, row in enumerate(labelled(number))]
        with pytest.raises(ProjectError, match="the test split has no row"):
            prepare(rows, split="time", test_fraction=fraction)

    def test_one_time_for_all_cannot_be_split(self, prepare):
        rows = [row._replace(time=1) for row in labelled(40)]
        with pytest.raises(ProjectError, match="the train split has no row"):
            prepare(rows, split="time")


class TestGiven:
    """The setting `data.split=given`."""

    def test_rows_are_where_the_column_says(self, prepare):
        names = ["train"] * 4 + ["test", "validation"]
        rows = [row._replace(split=names[i % 6]) for i, row in enumerate(labelled(36))]
        for name, of_split in prepare(rows, split="given").rows.items():
            assert [row.values for row in of_split] == [r.values for r in rows if r.split == name]

    @pytest.mark.parametrize("given", ["dev", None])
    def test_another_split_is_named(self, given, prepare):
        rows = [row._replace(split="train") for row in labelled(8)]
        rows[3] = rows[3]._replace(split=given)
        with pytest.raises(ProjectError) as caught:
            prepare(rows, split="given")
        expected = "the split must be one of train, validation, test"
        assert str(caught.value).startswith(f"mine.csv:5: {expected}, got {given!r}")

    def test_a_label_that_training_lacks_is_named(self, prepare):
        rows = [
            row._replace(split=("train", "validation", "test")[i % 3])
            for i, row in enumerate(labelled(30))
        ]
        rows[2] = rows[2]._replace(values={"text": "lonely", "label": "rare"})
        with pytest.raises(ProjectError, match="label 'rare' has no row in the train split"):
            prepare(rows, split="given")

    def test_what_is_in_two_splits_stays_there_and_is_reported(self, prepare, caplog):
        names = ["train"] * 4 + ["test", "validation"]
        rows = [row._replace(split=names[i % 6]) for i, row in enumerate(labelled(36))]
        prepare([row._replace(group=row.source) for row in rows], split="given")
        prepare(rows, split="given", on_duplicate="keep")
        assert not caplog.messages
        leaky = [row._replace(group=f"g{i // 6}") for i, row in enumerate(rows)]
        made = texts(prepare(leaky, split="given"))
        assert [len(made[name]) for name in SplitName] == [24, 6, 6]
        leaky = [*rows, rows[0]._replace(split="test")]
        prepare(leaky, split="given", on_duplicate="keep")
        reason = "a group, or inputs, that a later split has too, as given"
        assert caplog.messages == [f"30 rows have {reason}", f"1 row has {reason}"]

    def test_a_split_without_a_row_is_named(self, prepare):
        rows = [row._replace(split="train") for row in labelled(8)]
        with pytest.raises(ProjectError, match="the validation split has no row"):
            prepare(rows, split="given")


class TestDuplicates:
    """The setting `data.on_duplicate`."""

    ROWS = (*labelled(60), *(row._replace(source=f"{row.source}0") for row in labelled(20)))

    def test_the_first_is_kept(self, prepare, caplog):
        caplog.set_level("INFO")
        made = texts(prepare(self.ROWS))
        assert sorted(chain.from_iterable(made.values())) == sorted(
            {r.values["text"] for r in self.ROWS}
        )
        sources = {row.source for rows in prepare(self.ROWS).rows.values() for row in rows}
        assert sources == {row.source for row in self.ROWS[:60]}
        assert "20 duplicates removed" in caplog.messages

    def test_all_are_kept_and_in_the_same_split(self, prepare):
        made = texts(prepare(self.ROWS, on_duplicate="keep"))
        assert sum(map(len, made.values())) == 80
        assert not set(made["train"]) & (set(made["validation"]) | set(made["test"]))
        assert not set(made["validation"]) & set(made["test"])

    def test_groups_stay_whole_and_so_do_duplicates(self, prepare):
        rows = [row._replace(group=f"g{i // 2}") for i, row in enumerate(self.ROWS)]
        rows_of = prepare(rows, on_duplicate="keep").rows
        for of in (lambda row: row.group, lambda row: row.values["text"]):
            found = [{of(row) for row in rows} for rows in rows_of.values()]
            assert sum(map(len, found)) == len(set().union(*found))

    def test_they_are_named(self, prepare):
        with pytest.raises(ProjectError) as caught:
            prepare(self.ROWS, on_duplicate="error")
        first = "mine.csv:20: the inputs are those of mine.csv:2; "
        assert str(caught.value).startswith(first)
        assert "; and 15 more; " in str(caught.value)


class TestMissing:
    """The setting `data.on_missing`."""

    ROWS = (
        *labelled(60),
        Row({"text": None, "label": "a"}, source="mine.csv:62"),
        Row({"text": "a word", "label": None}, source="mine.csv:63"),
    )

    def test_they_are_named(self, prepare):
        with pytest.raises(ProjectError) as caught:
            prepare(self.ROWS)
        assert str(caught.value) == (
            "mine.csv:62: the text is empty; mine.csv:63: the label is empty; "
            "data.on_missing=drop leaves out rows that lack a value"
        )

    def test_they_are_left_out_and_listed(self, prepare, caplog):
        assert sum(map(len, prepare(self.ROWS, on_missing="drop").rows.values())) == 60
        [message] = [one for one in caplog.messages if "lack" in one]
        assert message == (
            "2 rows lack a value, left out: "
            "mine.csv:62: the text is empty; mine.csv:63: the label is empty"
        )

    @pytest.mark.parametrize("on_duplicate", ["drop", "keep"])
    @pytest.mark.parametrize("split", ["random", "time", "given"])
    def test_if_no_row_is_left_a_split_is_named(self, split, on_duplicate, prepare):
        rows = [row._replace(group="g", time=1, split="train") for row in self.ROWS[60:]]
        settings = {"on_missing": "drop", "on_duplicate": on_duplicate, "split": split}
        with pytest.raises(ProjectError, match="the train split has no row"):
            prepare(rows, **settings)

    def test_other_faults_are_errors_all_the_same(self, tmp_path):
        rows = [*self.ROWS, Row({"text": "a word", "label": "x"}, source="mine.csv:64")]
        config = make_config(
            data=replace(DATA, on_missing=OnMissing.drop),
            objective={"name": "classification", "labels": ["a", "b"]},
        )
        with pytest.raises(ProjectError) as caught:
            process(rows, config, tmp_path)
        assert str(caught.value).startswith("mine.csv:64: unknown label 'x'")
        assert "on_missing" not in str(caught.value)

    def test_the_setting_is_not_offered_where_it_would_not_help(self, tmp_path):
        rows = [Row({"text": "a word", "target": "NaN"}, source="mine.csv:2")]
        with pytest.raises(ProjectError) as caught:
            process(rows, make_config(objective={"name": "regression"}), tmp_path)
        assert str(caught.value) == "mine.csv:2: the target must be a number, got 'NaN'"


@pytest.mark.parametrize(
    "row", [[0.5], (1, 2), [True], [[1], [2]], np.ones(1), np.ones(1, np.uint8), torch.ones(1)]
)
def test_rows_are_written_with_the_types_of_pytorch(row, tmp_path):
    write_split([([row], np.ones(1))], tmp_path / "one.safetensors")
    values = Split.load(tmp_path / "one.safetensors").values
    assert values.dtype == torch.as_tensor(row).dtype
    assert values.equal(torch.as_tensor(row)[None])


def test_ragged_rows_and_targets_of_any_shape_are_written_as_they_are_read(tmp_path):
    batches = [([[1, 2], [3]], np.array([[0.5, 1], [2, 3]])), ([[4, 5, 6]], np.ones((1, 2)))]
    write_split(batches, tmp_path / "ragged.safetensors")
    split = Split.load(tmp_path / "ragged.safetensors")
    assert split.inputs(torch.tensor([0, 1, 2])).tolist() == [[1, 2, 0], [3, 0, 0], [4, 5, 6]]
    assert split.targets.tolist() == [[0.5, 1], [2, 3], [1, 1]]
