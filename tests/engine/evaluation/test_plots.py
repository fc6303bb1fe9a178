from pathlib import Path

import pytest
from toy_project.evaluation.plots import (
    confusion_figure,
    f1_figure,
    save_figure,
)

LABELS = ("animals", "plants", "stones")
ACTUAL = ["animals", "animals", "animals", "plants", "plants", "stones"]
PREDICTED = ["animals", "animals", "plants", "plants", "plants", "animals"]


def test_the_confusion_matrix_has_the_count_of_each_pair_in_its_cell() -> None:
    axes = confusion_figure(ACTUAL, PREDICTED, labels=LABELS).axes[0]
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    rows = [[cells[column, row] for column in range(3)] for row in range(3)]
    assert rows == [["2", "1", "0"], ["0", "2", "0"], ["1", "0", "0"]]
    assert [label.get_text() for label in axes.get_yticklabels()] == list(LABELS)
    assert axes.get_title(loc="left") == "4 of 6 are right"


def test_its_colour_is_the_share_of_the_actual_label() -> None:
    image = confusion_figure(ACTUAL, PREDICTED, labels=LABELS).axes[0].images[0]
    shares = image.get_array()
    assert shares is not None
    assert shares.sum(axis=1).tolist() == pytest.approx([1, 1, 1])
    assert shares[0].tolist() == pytest.approx([2 / 3, 1 / 3, 0])


def test_a_label_without_rows_is_an_empty_row() -> None:
    image = confusion_figure(["animals"], ["animals"], labels=LABELS).axes[0].images[0]
    shares = image.get_array()
    assert shares is not None
    assert shares.tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_each_predictor_has_a_bar_per_label() -> None:
    predictions = {"model": PREDICTED, "majority": ["animals"] * 6}
    axes = f1_figure(ACTUAL, predictions, labels=LABELS).axes[0]
    assert len(axes.patches) == 6
    figures = [text.get_text() for text in axes.texts]
    assert figures == ["0.67", "0.80", "0.00", "0.67", "0.00", "0.00"]


def test_the_same_figure_is_the_same_file(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        save_figure(confusion_figure(ACTUAL, PREDICTED, labels=LABELS), tmp_path / "made" / name)
    one, two = ((tmp_path / "made" / name).read_bytes() for name in ("one.png", "two.png"))
    assert one.startswith(b"\x89PNG")
    assert one == two
