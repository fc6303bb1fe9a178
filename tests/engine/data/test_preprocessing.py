from dataclasses import replace

import pytest
from miniature import make_rows
from toy_project.data.dataset import Split
from toy_project.data.preprocessing import (
    SplitName,
    drop_duplicates,
    preprocess,
)
from toy_project.data.rows import Row
from toy_project.data.spec import DataSpec
from toy_project.errors import ProjectError

from ..conftest import DATA, make_config


def test_the_first_of_equal_texts_is_kept():
    pairs = ("a", "x"), ("b", "x"), ("a", "y")
    rows = [Row({"text": text, "label": label}, "1") for text, label in pairs]
    assert drop_duplicates(rows, ["text"]) == rows[:2]


def test_no_group_is_in_two_splits(processed):
    groups = [{row.group for row in rows} for rows in processed.rows.values()]
    assert sum(map(len, groups)) == len(set().union(*groups))


def test_every_row_is_in_one_split_and_every_label_in_each(processed):
    found = [row for rows in processed.rows.values() for row in rows]
    assert sorted(found, key=str) == sorted(make_rows(), key=str)
    for rows in processed.rows.values():
        assert {row.values["label"] for row in rows} == {"animals", "plants", "stones"}


def test_the_seed_chooses_the_split():
    def test_rows(seed: int) -> list[Row]:
        config = make_config(data=replace(DATA, split_seed=seed))
        return preprocess(make_rows(), config).rows[SplitName.test]

    assert test_rows(0) == test_rows(0)
    assert test_rows(0) != test_rows(1)


def test_a_label_that_cannot_be_in_every_split_is_named():
    rows = [*make_rows(), Row({"text": "lonely", "label": "rare"}, "g")]
    with pytest.raises(ProjectError, match="label 'rare' has no row in the validation split"):
        preprocess(rows, make_config())


def test_what_is_saved_is_what_was_made(processed, tmp_path):
    processed.save(tmp_path / "processed", group_column="module")
    assert DataSpec.load(tmp_path / "processed") == processed.spec
    splits = Split.load(tmp_path / "processed" / "test.safetensors"), processed.split("test")
    [loaded], [made] = (list(split.batches(1000)) for split in splits)
    assert all(one.equal(other) for one, other in zip(loaded, made, strict=True))
