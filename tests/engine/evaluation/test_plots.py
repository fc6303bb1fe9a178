from pathlib import Path

import numpy as np
import pytest
from toy_project.evaluation.plots import (
    MOST_POINTS,
    confusion_figure,
    f1_figure,
    save_figure,
    scatter_figure,
)

LABELS = ("animals", "plants", "stones")
ACTUAL = [0, 0, 0, 1, 1, 2]
PREDICTED = [0, 0, 1, 1, 1, 0]


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
    image = confusion_figure([0], [0], labels=LABELS).axes[0].images[0]
    shares = image.get_array()
    assert shares is not None
    assert shares.tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_each_predictor_has_a_bar_per_label() -> None:
    predictions = {"model": PREDICTED, "majority": [0] * 6}
    axes = f1_figure(ACTUAL, predictions, labels=LABELS).axes[0]
    assert len(axes.patches) == 6
    figures = [text.get_text() for text in axes.texts]
    assert figures == ["0.67", "0.80", "0.00", "0.67", "0.00", "0.00"]


def test_a_row_may_have_several_labels() -> None:
    actual = np.eye(3, dtype=bool)
    predicted = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0]], dtype=bool)
    axes = f1_figure(actual, {"model": predicted}, labels=LABELS).axes[0]
    assert [text.get_text() for text in axes.texts] == ["1.00", "0.67", "0.00"]


@pytest.mark.parametrize("num_targets", [1, 2, 4])
def test_each_target_has_a_panel_with_a_line(num_targets: int) -> None:
    actual = np.arange(20.0).reshape(-1, 1) + np.arange(num_targets)
    names = [f"${i}" for i in range(num_targets)]
    numbers = {"actual": actual, "predicted": actual + 1}
    figure = scatter_figure(numbers, names=names, slope=1)
    panels = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title(loc="left") for axes in panels] == names
    for i, axes in enumerate(panels):
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("actual", "predicted")
        points = axes.collections[0].get_offsets()
        assert np.asarray(points).tolist() == [[x + i, x + i + 1] for x in range(20)]
        [line] = axes.lines
        assert np.ptp(line.get_xydata() @ [1, -1]) == 0, "x = y"


def test_of_many_points_some_are_shown() -> None:
    column = np.arange(MOST_POINTS * 2.5).reshape(-1, 1)
    axes = scatter_figure({"x": column, "y": column}, names=[""], slope=1).axes[0]
    assert MOST_POINTS / 2 < len(axes.collections[0].get_offsets()) <= MOST_POINTS


def test_the_same_figure_is_the_same_file(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        save_figure(confusion_figure(ACTUAL, PREDICTED, labels=LABELS), tmp_path / "made" / name)
    one, two = ((tmp_path / "made" / name).read_bytes() for name in ("one.png", "two.png"))
    assert one.startswith(b"\x89PNG")
    assert one == two
