"""Tables as people have them: their formats, encodings, columns and faults."""

import bz2
import gzip
import json
import logging
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from toy_project import fetch, objectives, preprocess
from toy_project.artifacts import PROCESSED, RAW
from toy_project.config import DataConfig
from toy_project.data.reading import dataset, read_file
from toy_project.data.rows import DataError, Row, Rows, write_rows
from toy_project.rules import ConfigError

from .. import commands
from ..conftest import DATA, make_config

CSV = b"text,label,module\na cat,animal,m1\nan oak,plant,m2\n"
TABLE = [
    {"text": "a cat", "label": "animal", "module": "m1"},
    {"text": "an oak", "label": "plant", "module": "m2"},
]
CR = "a carriage return without a line feed; lines end with LF or CRLF"
NUL = "a NUL byte, which text does not have"

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """A function that writes a file of the working directory."""
    monkeypatch.chdir(tmp_path)

    def written(content: bytes, name: str = "mine.csv") -> Path:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    return written


def rows(path: Any, **settings: Any) -> list[Row]:
    data = {"columns": {"group": "module"}, "encoder": DATA.encoder, **settings}
    return list(dataset(make_config(data=DataConfig(name="mine", path=path, **data))))


def values(path: Path, **settings: Any) -> list[Any]:
    return [row.values for row in rows(str(path), **settings)]


def parquet(path: Path = Path("mine.parquet")) -> bytes:
    pq.write_table(pa.Table.from_pylist(TABLE), path)
    return path.read_bytes()


def json_lines() -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in TABLE)


def with_delimiter(delimiter: bytes) -> bytes:
    return CSV.replace(b",", delimiter)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("mine.csv", lambda: CSV),
        ("MINE.CSV", lambda: CSV),
        ("mine.csv", lambda: with_delimiter(b";")),
        ("mine.csv", lambda: with_delimiter(b"|")),
        ("mine.tsv", lambda: with_delimiter(b"\t")),
        ("mine.txt", lambda: with_delimiter(b"\t")),
        ("mine.csv", lambda: b"\xef\xbb\xbf" + CSV),
        ("mine.csv", lambda: CSV.replace(b"\n", b"\r\n")),
        ("mine.csv", lambda: b'"text", label ,module\n a cat ,animal,m1\n\n"an oak",plant,m2'),
        ("mine.csv.gz", lambda: gzip.compress(CSV)),
        ("mine.csv.bz2", lambda: bz2.compress(CSV)),
        ("mine.csv.zst", lambda: pa.compress(CSV, "zstd", asbytes=True)),
        ("mine.jsonl", json_lines),
        ("mine.ndjson.gz", lambda: gzip.compress(json_lines())),
        ("mine.parquet", parquet),
    ],
)
def test_every_format_gives_the_same_rows(name, content, write):
    path = write(content(), name)
    first = 1 if "json" in name or "parquet" in name else 2
    read = rows(str(path))
    assert [row._replace(id="", source="") for row in read] == [
        Row({"text": "a cat", "label": "animal"}, "m1"),
        Row({"text": "an oak", "label": "plant"}, "m2"),
    ]
    assert read[0].id == read[0].source == f"{name}:{first}"


@pytest.mark.parametrize(
    ("encoding", "setting"),
    [
        ("utf-8", "auto"),
        ("utf-8-sig", "auto"),
        ("utf-16", "auto"),
        ("utf-16-le", "auto"),
        ("utf-16-be", "auto"),
        ("utf-32", "auto"),
        ("cp1252", "auto"),
        ("latin-1", "latin-1"),
        ("cp437", "cp437"),
        ("shift-jis", "shift-jis"),
    ],
)
def test_encodings(encoding, setting, write):
    word = "猫の本" if encoding == "shift-jis" else "café straße"
    path = write(f"text,label\n{word},a\nan oak,b\n".encode(encoding))
    assert values(path, encoding=setting)[0]["text"] == word


def test_a_guessed_encoding_is_reported_with_its_first_line(write, caplog):
    values(write(b"text,label\nan oak,a\ncaf\xe9,b\n"))
    assert caplog.messages[0] == (
        "mine.csv:3: byte 0xe9 is not UTF-8; read as Windows-1252: set data.encoding if it is "
        "another"
    )


def test_utf_16_without_its_mark_is_named(write):
    path = write(CSV.decode().encode("utf-16-le"))
    with pytest.raises(DataError, match=r"^mine\.csv:1: UTF-16 stream does not start with BOM$"):
        values(path, encoding="utf-16")


def test_an_encoding_that_does_not_exist_is_refused_before_a_file_is_read():
    with pytest.raises(ConfigError, match=r"data\.encoding must be .*, got 'utf-9'"):
        DataConfig(name="mine", path="no.csv", encoding="utf-9", encoder=DATA.encoder)


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (b"text,label\na cat,a\nan \0oak,b\n", 3, NUL),
        (b"text,label\ra cat,a\ran oak,b\r", 1, CR),
        (b'text,label\r\na cat,a\r\n"an\roak",b\r\n', 3, CR),
        (b'"text,label\n', 1, "not valid CSV (unexpected end of data)"),
        (CSV + b'"a dog,animal,m3\n', 4, "not valid CSV (unexpected end of data)"),
        (CSV + b"a dog,animal,m3,4\n", 4, "4 cells in a table of 3 columns"),
        (b"text,label,text\na cat,a,b\n", 1, "there are two columns text"),
        (b"text,label\na caf\x81,a\n", 2, "byte 0x81 is not UTF-8"),
    ],
)
def test_a_broken_csv_is_named_with_its_line(content, line, reason, write):
    path = write(content)
    with pytest.raises(DataError) as caught:
        values(path, columns={})
    assert str(caught.value) == f"mine.csv:{line}: {reason}"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("mine.csv", b"", "mine.csv has no rows"),
        ("mine.csv", b"text,label\n", "mine.csv has no rows"),
        ("mine.jsonl", b"[1]\n", "mine.jsonl:1: not a JSON object; each line is one, "),
        ("mine.jsonl", b'{"text": "a"}\n{\n', "mine.jsonl:2: not valid JSON (Expecting "),
        ("mine.jsonl", b"[" * 100_000, "mine.jsonl:1: not valid JSON ("),
        ("mine.parquet", b"PAR1 no PAR1", "mine.parquet cannot be read ("),
        ("mine.csv.gz", b"\x1f\x8b no gzip", "mine.csv.gz cannot be read ("),
        ("mine.csv.gz", gzip.compress(CSV)[:-9], "mine.csv.gz cannot be read ("),
        (
            "mine.csv",
            b"review,label\na cat,a\n",
            "mine.csv has no column text; set data.columns.text to one of review, label",
        ),
    ],
)
def test_a_broken_file_is_named(name, content, message, write):
    path = write(content, name)
    with pytest.raises(DataError) as caught:
        values(path)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("name", ["mine.xlsx", "no.csv", "empty"])
def test_what_is_no_table_is_refused(name, write):
    write(b"PK", "mine.xlsx")
    Path("empty").mkdir()
    with pytest.raises(ConfigError, match=f"data.path must be .*, got '{name}'"):
        values(Path(name))


def test_a_field_may_be_long_and_have_lines(write):
    text = "a\r\n" * 100_000 + "b"
    path = write(f'text,label\r\n"{text}",a\r\nan oak,b\r\n'.encode())
    read = rows(str(path), columns={})
    assert [row.values["text"] for row in read] == [text, "an oak"]
    assert [row.source for row in read] == ["mine.csv:2", "mine.csv:100003"]


def test_columns_take_the_names_that_pieces_know(write):
    path = write(
        b"key,title,body,sentiment,by\n7,A title,A body,good,ann\n8,,Only a body,bad,bob\n"
    )
    columns = {"text": ["title", "body"], "label": "sentiment", "group": "by", "id": "key"}
    assert rows(str(path), columns=columns) == [
        Row(
            {"text": {"title": "A title", "body": "A body"}, "label": "good"},
            "ann",
            "7",
            "mine.csv:2",
        ),
        Row(
            {"text": {"title": None, "body": "Only a body"}, "label": "bad"},
            "bob",
            "8",
            "mine.csv:3",
        ),
    ]


def test_an_unknown_role_is_refused(write):
    with pytest.raises(
        ConfigError, match=r"data\.columns\.txet is not a setting; did you mean text"
    ):
        rows(str(write(CSV)), columns={"txet": "text"})


OWN_OBJECTIVE = """
from .base import Objective


class Ranking(Objective):
    columns = ("rank",)
"""


def test_the_column_of_an_own_objective_may_be_named_while_another_is_chosen(write, monkeypatch):
    path = write(OWN_OBJECTIVE.encode(), "pieces/ranking.py").resolve()
    searched = [*objectives.__path__, str(path.parent)]
    monkeypatch.setattr(objectives, "__path__", searched)
    columns = {"rank": "module", "target": "module"}
    read = rows(str(write(CSV)), columns=columns)
    assert [row.values["label"] for row in read] == ["animal", "plant"]


def test_a_folder_of_tables_is_read_in_the_order_of_its_files(write):
    write(CSV, "mine/b/2.csv")
    write(json_lines(), "mine/a.jsonl")
    write(b"notes", "mine/README.md")
    write(b"x", "mine/.hidden.csv")
    write(CSV, "mine/b/.ipynb_checkpoints/2.csv")
    sources = [row.source for row in rows("mine")]
    assert sources == ["mine/a.jsonl:1", "mine/a.jsonl:2", "mine/b/2.csv:2", "mine/b/2.csv:3"]


@pytest.mark.parametrize(
    "order", [("train", "validation", "test"), ("test", "train", "validation")]
)
def test_three_files_are_the_three_splits(order, write, workspace):
    for name in order:
        lines = "".join(f"{name} word n{i},{'ab'[i % 2]}\n" for i in range(6))
        write(f"text,label\n{lines}".encode(), f"{name}.csv")
    paths = ",".join(f"{name}:{name}.csv" for name in order)
    settings = (f"data.path={{{paths}}}", "~data.columns.group")
    assert commands.run(fetch, preprocess, settings=settings) is None
    for name in order:
        found = [row.values["text"] for row in Rows(PROCESSED / f"{name}.parquet")]
        assert found == [f"{name} word n{i}" for i in range(6)]


def test_two_files_are_not_three_splits():
    with pytest.raises(
        ConfigError, match=r"data\.path must be files of train, validation and test"
    ):
        DataConfig(name="mine", path={"train": "a.csv", "test": "b.csv"}, encoder=DATA.encoder)


def test_a_refused_row_is_listed_with_the_users_file_and_line(write, workspace):
    lines = "".join(f"word n{i},{'ab'[i % 2]}\n" for i in range(20))
    write(f"text,label\n{lines}".encode(), "data/external/a.csv")
    write(b"text,label\nmore,a\n ,a\n" + b"x,\n" * 9, "data/external/b.csv")
    assert commands.run(fetch, preprocess, settings=["data.path=data/external"]) == (
        "error: data/external/b.csv:3: the text is empty; "
        "data/external/b.csv:4: the label is empty; data/external/b.csv:5: the label is empty; "
        "data/external/b.csv:6: the label is empty; data/external/b.csv:7: the label is empty; "
        "and 5 more; data.on_missing=drop leaves out rows that lack a value"
    )
    assert RAW.exists()
    assert not PROCESSED.exists()


@pytest.mark.parametrize(
    ("old", "new", "read"),
    [
        (None, "x", [None, "x"]),
        (1, 2.5, [1.0, 2.5]),
        (1, None, [1, None]),
        (True, None, [True, None]),
        (date(2024, 1, 2), None, [date(2024, 1, 2), None]),
        ([1], [2.5], [[1.0], [2.5]]),
        ([], ["x"], [[], ["x"]]),
        ({"a": 1}, {"a": None, "b": "x"}, [{"a": 1, "b": None}, {"a": None, "b": "x"}]),
    ],
)
def test_a_column_widens_where_a_later_batch_has_another_type(old, new, read, tmp_path):
    many = 8192
    path = tmp_path / "rows.parquet"
    before, after = (Row({"a": value}) for value in (old, new))
    assert write_rows([before] * many + [after] * many, path) == 2 * many
    found = [row.values["a"] for row in Rows(path)]
    assert [found[0], found[-1]] == read
    assert found == [read[0]] * many + [read[1]] * many
    assert [each.name for each in tmp_path.iterdir()] == ["rows.parquet"]


def test_a_column_of_two_types_is_refused(tmp_path):
    for number in (1, 8192):
        mixed = [*[Row({"a": 1})] * number, Row({"a": "x"})]
        with pytest.raises(DataError, match="the column a has values of several types"):
            write_rows(mixed, tmp_path / "rows.parquet")


@pytest.mark.parametrize("values", [(2**60 + 1, 0.5), (0.5, 2**60 + 1)])
def test_a_whole_number_that_is_no_float_is_refused_among_these(values, tmp_path):
    first, last = ([Row({"a": value}, source=f"mine.csv:{value}")] for value in values)
    with pytest.raises(DataError) as caught:
        write_rows([*first * 8192, *last], tmp_path / "rows.parquet")
    expected = f"mine.csv:{values[1]} the column a has values of several types ("
    assert str(caught.value).startswith(expected)
    assert [each.name for each in tmp_path.iterdir()] == ["rows.parquet"]


def test_a_column_may_come_late_and_end_early(tmp_path):
    path = tmp_path / "rows.parquet"
    write_rows([*[Row({"a": 1})] * 8192, Row({"b": "x"}, group="g")], path)
    first, *_, last = Rows(path)
    assert (first.values, first.group) == ({"a": 1, "b": None}, None)
    assert (last.values, last.group) == ({"a": None, "b": "x"}, "g")


def test_a_copy_has_values_groups_and_ids(tmp_path):
    first = Row({"a": 1}, "g", "first", "mine.csv:2", "train", 1.5)
    last = Row({"a": [1.5]}, None, "last", "mine.csv:3", "test", 2.5)
    write_rows([*[first._replace(values={"a": None})] * 8192, last], tmp_path / "rows.parquet")
    Rows(tmp_path / "rows.parquet", np.arange(8193) == 8192).copy(tmp_path / "copy.parquet")
    assert list(Rows(tmp_path / "copy.parquet")) == [Row({"a": [1.5]}, id="last")]
    assert pq.ParquetFile(tmp_path / "copy.parquet").num_row_groups == 1


def test_a_name_that_is_taken_is_refused(tmp_path):
    with pytest.raises(DataError, match="the column _group has a name that is used"):
        write_rows([Row({"_group": 1}, source="mine.csv:2")], tmp_path / "rows.parquet")


def test_without_the_group_column_each_row_is_its_own_group(write, caplog):
    caplog.set_level(logging.WARNING)
    assert [row.group for row in rows(str(write(CSV.replace(b"module", b"m"))))] == [None, None]
    assert caplog.messages == ["mine.csv has no column module: each row is a group of its own"]


def test_a_file_is_read_as_it_is(write):
    path = write(b"a,b\n 1 ,\n2\n")
    assert list(read_file(path)) == [(2, {"a": "1", "b": None}), (3, {"a": "2", "b": None})]
