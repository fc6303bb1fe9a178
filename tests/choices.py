"""The template's options as tests see them: what can be chosen, and in which combinations."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations, product

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
EVERY_COMBINATION: tuple[Answers, ...] = tuple(
    dict(zip(CHOICES, values, strict=True)) for values in product(*CHOICES.values())
)


def named(answers: Answers) -> str:
    """Return a combination as a test's name: what is not the default."""
    chosen = [f"{k}={v}" for k, v in answers.items() if v != DEFAULTS[k]]
    return ",".join(chosen) or "default"


def _pairs(answers: Answers) -> set[tuple[tuple[str, str], ...]]:
    return set(combinations(answers.items(), 2))


def _covering(rows: Iterable[Answers]) -> Iterator[Answers]:
    """Yield rows in which every two choices of two options occur together (greedy pairwise)."""
    rows = list(rows)
    missing = set().union(*map(_pairs, rows))
    while missing:
        best = max(rows, key=lambda row: len(_pairs(row) & missing))
        missing -= _pairs(best)
        yield best


COVERING = tuple(_covering(EVERY_COMBINATION))
