"""The template's options as tests see them: what can be chosen, and in which combinations."""

from collections.abc import Iterator, Mapping
from itertools import chain, combinations, product

from mlscaffold.options import options

Answers = Mapping[str, str]

FOUND = options()
COMPONENTS = FOUND.components
PRESETS = FOUND.presets
CHOICES = {
    question.name: tuple(map(str, question.values))
    for question in FOUND.questions
    if question.name in COMPONENTS
}
DEFAULTS = {
    question.name: str(question.default)
    for question in FOUND.questions
    if question.name in COMPONENTS
}
OF_TWO = {
    "src/<package>/data/image.js": ("modality", "image"),
    "src/<package>/deployment/v2.py": ("serving", "fastapi"),
}
"""Files of a choice that need another choice too, which components.yml cannot say."""
NO_CODE = ("torch_backend",)
"""Options that change pyproject.toml and nothing else."""


def is_valid(answers: Answers) -> bool:
    """Return whether these choices can be made together."""
    pretrains = answers["modality"] != "tabular" or answers["pretrained"] == "none"
    deploys = answers["serving"] != "none" or answers["deployment"] == "none"
    records = answers["serving"] != "none" or answers["monitoring"] == "none"
    return pretrains and deploys and records


def _combinations(without: tuple[str, ...] = ()) -> Iterator[Answers]:
    """Yield every valid combination, in which the options `without` have their defaults."""
    values = [(DEFAULTS[k],) if k in without else choices for k, choices in CHOICES.items()]
    return filter(is_valid, (dict(zip(CHOICES, row, strict=True)) for row in product(*values)))


EVERY_COMBINATION = tuple(_combinations(without=NO_CODE))


def named(answers: Answers) -> str:
    """Return a combination as a test's name: what is not the default."""
    chosen = [f"{k}={v}" for k, v in answers.items() if v != DEFAULTS[k]]
    return ",".join(chosen) or "default"


def _pairs(answers: Answers) -> set[tuple[tuple[str, str], ...]]:
    return set(combinations(answers.items(), 2))


PAIRS = frozenset().union(*map(_pairs, _combinations()))
"""Every two choices of two options that can be made together."""


def _covering() -> list[Answers]:
    """Return combinations in which all pairs occur: greedy pairwise, without needless ones."""
    rows = [(row, _pairs(row)) for row in _combinations()]
    missing = set(PAIRS)
    chosen = []
    while missing:
        best, covered = max(rows, key=lambda row: len(row[1] & missing))
        missing -= covered
        chosen.append(best)
    for row in tuple(chosen):
        others = [other for other in chosen if other is not row]
        if PAIRS.issubset(chain.from_iterable(map(_pairs, others))):
            chosen = others
    return chosen


COVERING = tuple(_covering())
