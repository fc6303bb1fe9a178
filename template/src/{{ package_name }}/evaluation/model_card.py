"""The model card: what a model is, how good it is and where it comes from.

Sections after Mitchell et al. 2019, "Model Cards for Model Reporting", arXiv:1810.03993.
"""

import re
from collections.abc import Iterable
from importlib import import_module

from ..config import Config, DataConfig, OnDuplicate, SplitBy
from ..lineage import config_hash, made_by
from ..objectives.base import Table
from ..rules import flat
from .plots import one_line
from .report import BASELINE_ROWS, FIGURES, Report, shown

_MARKUP = re.compile(r"[$&*<@\[\\`{|~]|:(?=//)|(?<![^\W_])_|_(?![^\W_])")
"""What may be markup: `_` only at the edge of a word, `:` only in an address."""


def model_card(report: Report, config: Config) -> str:
    """Return the card as Markdown."""
    sections = (
        _head(report, config),
        _data(report, config.data),
        _results(report),
        *_tables(report),
        _training(report, config),
        _lineage(report),
        _limits(report),
    )
    return "\n\n".join(sections) + "\n"


def _head(report: Report, config: Config) -> str:
    model, objective = report.bundle.model, report.bundle.spec.objective
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    return f"""\
# {markdown(config.registry.model_name)}

`{model.config.name}` with {num_parameters:,} parameters, version `{report.bundle.version}`.
{markdown(objective.summary())}"""


def _data(report: Report, config: DataConfig) -> str:
    table = _table(("split", "rows"), ((name, f"{n:,}") for name, n in report.num_rows.items()))
    return f"""\
## Data

{_source(config)}

{table}

{_split(config)} The best epoch was picked on the validation split; the figures below are of the
test split."""


def _split(config: DataConfig) -> str:
    """Return whether duplicates were removed, and how rows were assigned to splits."""
    removed = "Exact duplicates are removed. " if config.on_duplicate is OnDuplicate.drop else ""
    if config.split is SplitBy.given or isinstance(config.path, dict):
        return f"{removed}The splits came with the data."
    if config.split is SplitBy.time:
        return f"{removed}The rows are split by time: the newest are tested."
    group = config.columns.get("group")
    together = f"; rows that share {markdown_code(group)} stay together" if group else ""
    return f"{removed}The rows are split at random{together}."


def _source(config: DataConfig) -> str:
    if config.path is not None:
        paths = config.path.values() if isinstance(config.path, dict) else [config.path]
        return f"The rows of {', '.join(map(markdown_code, paths))}."
    module = import_module(f"..data.{config.name}", __package__)
    return (module.__doc__ or f"The rows of `data/{config.name}.py`.").splitlines()[0]


def _results(report: Report) -> str:
    header = ("", "this model", *(name.replace("_", " ") for name in report.baselines))
    rows = [(name.replace("_", " "), f"**{own}**", *of) for name, own, *of in report.results()]
    table = _table(header, rows)
    few = ""
    if report.num_rows["train"] > BASELINE_ROWS:
        few = f"\nThe baselines learned from about {BASELINE_ROWS:,} training rows, evenly spaced."
    pictures = "\n\n".join(f"![{name}]({FIGURES}/{name}.png)" for name in report.figures)
    return f"""\
## Results

{table}

In brackets: by how much this model is better.{few}

{pictures}"""


def _tables(report: Report) -> list[str]:
    tables = report.bundle.spec.objective.tables(report.targets, report.scores)
    if report.untuned:
        figures = report.untuned, report.metrics
        rows = [(name, *(shown(of[name]) for of in figures)) for name in report.untuned]
        rows = [(name, before, after) for name, before, after in rows if before != after]
        tables |= {"Tuned on the validation split": Table(("", "before", "after"), rows)}
    if precisions := report.precisions():
        tables |= {"Served in int8": Table(precisions[0], precisions[1:])}
    return [
        f"## {title}\n\n{_table(table.header, (map(markdown, row) for row in table.rows))}"
        for title, table in tables.items()
    ]


def _training(report: Report, config: Config) -> str:
    if config_hash(config) != report.bundle.lineage.config_hash:
        return "## Training\n\nWith other settings than those that `evaluate` was given."
    settings = flat(made_by(config))
    lines = [one_line(f"{name}={value}") for name, value in settings.items()]
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
    spec = report.bundle.spec
    limits = [*spec.objective.limits(report.targets, report.scores), *spec.encoder.limits()]
    listed = "\n".join(f"- {markdown(limit)}" for limit in limits)
    return f"""\
## Intended use and limits

For inputs like those above, to sort or to suggest, where a mistake costs little. Not for
decisions about people.

{listed}"""


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table of cells that are Markdown."""
    columns = list(header)
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def markdown(text: str) -> str:
    """Return the text escaped with entities: renderers treat backslashes in tables differently."""
    return _MARKUP.sub(lambda match: f"&#{ord(match[0])};", one_line(text))


def markdown_code(text: str) -> str:
    """Return the text as a code span; � replaces what would end the span or a table cell."""
    return f"`{re.sub('[`|]', '�', one_line(text))}`"
