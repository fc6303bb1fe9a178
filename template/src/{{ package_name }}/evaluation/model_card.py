"""The model card: what a model is, how good it is and where it comes from, for those who use it.

Sections after Mitchell et al. 2019, "Model Cards for Model Reporting", arXiv:1810.03993.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from importlib import import_module
from math import sqrt

from sklearn.metrics import precision_recall_fscore_support

from ..config import Config, DataConfig
from ..lineage import config_hash
from .escaping import markdown, markdown_code, one_line
from .metrics import Metrics
from .report import Report


def model_card(report: Report, config: Config) -> str:
    """Return the card as Markdown."""
    sections = (
        _head(report, config),
        _data(report, config.data),
        _results(report),
        _labels(report),
        _training(report, config),
        _lineage(report),
        _limits(report),
    )
    return "\n\n".join(sections) + "\n"


def _head(report: Report, config: Config) -> str:
    model, spec = report.bundle.model, report.bundle.spec
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    labels = ", ".join(map(markdown, spec.labels))
    return f"""\
# {markdown(config.registry.model_name)}

A text classifier, `{model.config.name}` with {num_parameters:,} parameters, version
`{report.bundle.version}`. Its {spec.num_classes} labels: {labels}."""


def _data(report: Report, config: DataConfig) -> str:
    table = _table(("split", "rows"), ((name, f"{n:,}") for name, n in report.num_rows.items()))
    column = markdown_code(config.group_column)
    return f"""\
## Data

{_source(config)}

{table}

Exact duplicates are removed. Where the data has a column {column}, rows that share
its value stay in one split, so that near-copies do not leak into the test split. The best epoch was
picked on the validation split; the figures below are of the test split."""


def _source(config: DataConfig) -> str:
    if config.path is not None:
        return f"The rows of {markdown_code(config.path)}."
    module = import_module(f"..data.{config.name}", __package__)
    return (module.__doc__ or f"The rows of `data/{config.name}.py`.").splitlines()[0]


def _results(report: Report) -> str:
    ours = report.metrics
    first = ("**this model**", f"**{ours.accuracy:.3f}**", f"**{ours.macro_f1:.3f}**")
    others = [_beside(ours, name, other) for name, other in report.baselines.items()]
    table = _table(("", "accuracy", "macro F1"), [first, *others])
    return f"""\
## Results

{table}

In brackets: by how much this model is better.

![Confusion matrix](confusion.png)"""


def _beside(ours: Metrics, name: str, other: Metrics) -> tuple[str, ...]:
    pairs = (ours.accuracy, other.accuracy), (ours.macro_f1, other.macro_f1)
    return name.replace("_", " "), *(f"{theirs:.3f} ({own - theirs:+.3f})" for own, theirs in pairs)


def _labels(report: Report) -> str:
    names = report.bundle.spec.labels
    figures = precision_recall_fscore_support(
        report.actual, report.predicted, labels=names, zero_division=0
    )
    rows = (
        (markdown(label), f"{precision:.2f}", f"{recall:.2f}", f"{f1:.2f}", f"{support:,}")
        for label, precision, recall, f1, support in zip(names, *figures, strict=True)
    )
    table = _table(("label", "precision", "recall", "F1", "test rows"), rows)
    return f"## Each label\n\n{table}\n\n![F1 per label, beside the baselines](f1.png)"


def _training(report: Report, config: Config) -> str:
    if config_hash(config) != report.bundle.lineage.config_hash:
        return "## Training\n\nWith other settings than those that `evaluate` was given."
    groups = {"data": config.data, "model": config.model, "training": config.training}
    lines = [f"seed={config.seed}"]
    for group, values in groups.items():
        lines += [one_line(f"{group}.{name}={value}") for name, value in asdict(values).items()]
    return "\n".join(("## Training", "", "```", *lines, "```"))


def _lineage(report: Report) -> str:
    lineage = report.bundle.lineage
    commit = markdown_code(lineage.git_commit) if lineage.git_commit else "not in a git repository"
    rows = (
        ("commit", commit + (", with uncommitted changes" if lineage.git_dirty else "")),
        ("data (DVC)", markdown_code(lineage.data_hash)),
        ("configuration", markdown_code(lineage.config_hash)),
        ("tracked run", markdown_code(lineage.run_id) if lineage.run_id else "none"),
        ("template", markdown(lineage.template_version or "unknown")),
        ("trained", markdown_code(lineage.created_at)),
    )
    return f"## Lineage\n\n{_table(('of', 'is'), rows)}"


def _limits(report: Report) -> str:
    num_rows, accuracy = len(report.actual), report.metrics.accuracy
    noise = 1.96 * sqrt(accuracy * (1 - accuracy) / num_rows)
    confidence = sum(report.confidence) / num_rows
    return f"""\
## Intended use and limits

For texts like those above, to sort or to suggest, where a wrong label costs little. Not for
decisions about people.

- A text that fits none of the labels gets one all the same.
- {_most_confused(report)}
- It is right in {accuracy:.0%} of the cases; its mean confidence is {confidence:.0%}.
- {num_rows:,} test rows give the accuracy to about ±{noise:.3f} (95 %, taking rows as independent).
- It reads the first {report.bundle.spec.max_length} tokens of a text."""


def _most_confused(report: Report) -> str:
    pairs = zip(report.actual, report.predicted, strict=True)
    wrong = Counter((actual, predicted) for actual, predicted in pairs if actual != predicted)
    if not wrong:
        return "It made no mistake on the test split, which is reason to doubt the split."
    (actual, predicted), number = wrong.most_common(1)[0]
    mistake = f"{markdown(predicted)} for {markdown(actual)}"
    return f"Its most frequent mistake is {mistake}: {number:,} of {report.actual.count(actual):,}."


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table of cells that are Markdown."""
    columns = list(header)
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
