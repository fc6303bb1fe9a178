"""Figures of the report, made without pyplot and so without global state."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from sklearn.metrics import confusion_matrix, f1_score

INK, MUTED, PALE = "#222222", "#6b6b6b", "#c9c9c9"
BAR_COLOURS = ("#1f5fa8", "#8a8a8a", PALE)
DARK_CELL = 0.55
"""Share of a row above which a cell's number is white."""
LONGEST_NAME = 40
"""Characters of a label that are shown."""
PANELS_PER_ROW, MOST_POINTS = 3, 5000
"""Of a scatter plot; of more points every n-th is shown."""
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Terminal control codes and changes of text direction."""


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG, reproducibly: without the version of matplotlib."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, metadata={"Software": None})


def confusion_figure(actual: ArrayLike, predicted: ArrayLike, *, labels: Sequence[str]) -> Figure:
    """Return the confusion matrix of indices: numbers are rows, colour is a label's share."""
    counts = confusion_matrix(actual, predicted, labels=range(len(labels)))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = 2.6 + 0.62 * len(labels)
    figure = Figure(figsize=(size + 0.9, size), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    _annotate(axes, counts, shares)
    _name_cells(axes, labels)
    _title(axes, f"{np.trace(counts):,} of {counts.sum():,} are right")
    bar = figure.colorbar(image, ax=axes, shrink=0.8, format="{x:.0%}")
    bar.set_label("share of the actual label")
    bar.outline.set_visible(False)
    return figure


def f1_figure(
    actual: ArrayLike, predictions: Mapping[str, ArrayLike], *, labels: Sequence[str]
) -> Figure:
    """Return F1 per label of the model and the baselines.

    The arrays are indices [rows], or 1 where a row has a label: [rows, labels].
    """
    each: dict[str, Any] = {"labels": range(len(labels)), "average": None, "zero_division": 0}
    scores = {name: f1_score(actual, values, **each) for name, values in predictions.items()}
    return bars_figure(scores, labels=labels, title="F1 per label")


def bars_figure(
    scores: Mapping[str, Sequence[float]], *, labels: Sequence[str], title: str
) -> Figure:
    """Return a bar in [0, 1] per label and name; the first name is the model."""
    thickness = 0.8 / len(scores)
    height = 1.4 + 0.22 * len(labels) * max(len(scores), 2)
    figure = Figure(figsize=(7.5, height), layout="constrained")
    axes = figure.subplots()
    for i, (name, values) in enumerate(scores.items()):
        positions = np.arange(len(labels)) + (i - (len(scores) - 1) / 2) * thickness
        colour, shown = BAR_COLOURS[i % len(BAR_COLOURS)], name.replace("_", " ")
        bars = axes.barh(positions, values, 0.92 * thickness, label=shown, color=colour)
        axes.bar_label(bars, fmt="{:.2f}", padding=3, fontsize=8, color=INK if i == 0 else MUTED)
    axes.set_yticks(range(len(labels)), **_names(labels))
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(axis="x", color="#e6e6e6", linewidth=0.8)
    _title(axes, title)
    figure.legend(loc="outside lower center", ncols=len(scores), frameon=False)
    return figure


def scatter_figure(
    numbers: Mapping[str, np.ndarray], *, names: Sequence[str], slope: float
) -> Figure:
    """Return a panel for each column of two arrays, named x and y: [rows, columns].

    A line through the origin with this slope is where predictions have no error.
    """
    (x_label, x), (y_label, y) = numbers.items()
    num_rows = -(-len(names) // PANELS_PER_ROW)
    size = 4.2 * min(len(names), PANELS_PER_ROW), 3.8 * num_rows
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(num_rows, min(len(names), PANELS_PER_ROW), squeeze=False).flat
    shown = slice(None, None, -(-len(x) // MOST_POINTS))
    for i, axes in enumerate(panels):
        if i >= len(names):
            axes.set_axis_off()
            continue
        axes.scatter(x[shown, i], y[shown, i], s=14, alpha=0.5, color=BAR_COLOURS[0], linewidth=0)
        middle = x[:, i].mean()
        axes.axline((middle, slope * middle), slope=slope, color=MUTED, linewidth=1)
        axes.set(xlabel=x_label, ylabel=y_label)
        axes.spines[["top", "right"]].set_visible(False)
        _title(axes, _short(names[i]))
    return figure


def _annotate(axes: Axes, counts: np.ndarray, shares: np.ndarray) -> None:
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > DARK_CELL else INK if count else PALE
        axes.text(column, row, f"{count:,}", ha="center", va="center", fontsize=9, color=colour)


def _name_cells(axes: Axes, labels: Sequence[str]) -> None:
    turned = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(len(labels)), **_names(labels), **turned)
    axes.set_yticks(range(len(labels)), **_names(labels))
    axes.set(xlabel="predicted", ylabel="actual")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _names(labels: Sequence[str]) -> dict[str, Any]:
    """Return arguments for tick labels that are shown literally: `$` does not start a formula."""
    return {"labels": [_short(label) for label in labels], "parse_math": False}


def _short(text: str) -> str:
    line = one_line(text)
    return line if len(line) <= LONGEST_NAME else f"{line[: LONGEST_NAME - 1]}…"


def one_line(text: str) -> str:
    """Return the text on one line, with � for each control character."""
    return _CONTROLS.sub("�", " ".join(text.split()))


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=11, color=INK, parse_math=False)
