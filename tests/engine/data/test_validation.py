from pathlib import Path
from typing import Any

import pytest
from toy_project.data.preprocessing import read_rows
from toy_project.data.rows import DataError, Row

from ..conftest import make_config

GOOD = b"text,label,module\na cat,animal,m1\nan oak,plant,m2\n"


def read(folder: Path, content: bytes, **settings: Any) -> list[Row]:
    path = folder / "data.csv"
    path.write_bytes(content)
    return read_rows(path, make_config(**settings))


def test_good_rows_are_read(tmp_path):
    assert read(tmp_path, GOOD) == [
        Row({"text": "a cat", "label": "animal"}, "m1"),
        Row({"text": "an oak", "label": "plant"}, "m2"),
    ]


def test_without_the_group_column_each_row_is_its_own_group(tmp_path):
    rows = read(tmp_path, b"text,label\na cat,animal\nan oak,plant\n")
    assert [row.group for row in rows] == ["line 2", "line 3"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD + b" ,animal,m3\n", "4: the text is empty"),
        (GOOD + b"a dog,,m3\n", "4: the label is empty"),
        (GOOD + b"a dog\n", "4: the label is empty"),
        (GOOD + b"a caf\xe9,animal,m3\n", "4: byte 0xe9 is not UTF-8"),
        (GOOD + b'"a\ndog",animal,m3\n,animal,m4\n', "6: the text is empty"),
        (b"text,topic\na cat,animal\n", "1: missing column label; found ['text', 'topic']"),
        (b"", "1: missing column text and label; found None"),
        (GOOD + b'"a dog,animal,m3\n', "4: not valid CSV (unexpected end of data)"),
    ],
)
def test_a_bad_row_is_named_with_file_line_and_reason(tmp_path, content, message):
    with pytest.raises(DataError) as caught:
        read(tmp_path, content)
    assert str(caught.value) == f"{tmp_path / 'data.csv'}:{message}"


def test_a_label_that_is_not_listed_is_refused(tmp_path):
    with pytest.raises(DataError, match=r":3: unknown label 'plant'; objective.labels are "):
        settings = {"name": "classification", "labels": ["animal", "stone"]}
        read(tmp_path, GOOD, objective=settings)


def test_a_missing_file_is_called_missing(tmp_path):
    with pytest.raises(DataError) as caught:
        read_rows(tmp_path / "no.csv", make_config())
    assert str(caught.value) == f"{tmp_path / 'no.csv'} does not exist; run `make fetch`"
    with pytest.raises(DataError) as caught:
        read_rows(tmp_path, make_config())
    assert str(caught.value) == (f"{tmp_path} cannot be read (Is a directory); run `make fetch`")
