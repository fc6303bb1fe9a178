from collections import Counter
from itertools import islice

from toy_project.data.docstrings import (
    MIN_WORDS,
    TOPICS,
    rows,
)


def test_the_standard_library_gives_labelled_texts():
    first = list(islice(rows(), 1000))
    assert {row["label"] for row in first} < set(TOPICS)
    assert len({row["module"] for row in first}) > 20
    assert all(len(row["text"].split()) >= MIN_WORDS for row in first)


def test_a_row_has_a_number_and_traits():
    of_json = [row for row in rows() if row["module"] == "json/__init__.py"]
    [dumps] = [row for row in of_json if row["text"].startswith("Serialize ``obj`` to a JSON f")]
    assert dumps["labels"] == ["with parameters"]
    assert of_json[0]["labels"] == ["module"]
    assert 5 < dumps["target"] < of_json[0]["target"] < 12


def test_no_module_has_two_topics():
    counts = Counter(name for names in TOPICS.values() for name in names.split())
    assert set(counts.values()) == {1}
