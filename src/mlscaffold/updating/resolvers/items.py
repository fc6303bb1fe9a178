"""Merge lists of items that have names: what was added, changed or removed, and in which order."""

from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile

Settle = Callable[[str, str, str], str]
"""Returns the merged version of an item that both sides changed; "" if there is none."""


def merged(
    base: Mapping[str, str], ours: Mapping[str, str], theirs: Mapping[str, str], settle: Settle
) -> dict[str, str] | None:
    """Return the merged items by name; `None` if that is not certain.

    In a sorted list the new items are sorted. Elsewhere those of each side stay together after the
    item that is before them, and the order of their names decides which come first.
    """
    chosen = _chosen(base, ours, theirs, settle)
    if chosen is None:
        return None
    kept = [name for name in base if name in chosen]
    if any([name for name in side if name in kept] != kept for side in (ours, theirs)):
        return None
    after = [_added_after(side, base, kept) for side in (ours, theirs)]
    if any(
        _last_kept(name, base, kept) in {**after[0], **after[1]}
        for name in base
        if name not in {**ours, **theirs}
    ):
        # One side may have changed what the other removed.
        return None
    names: list[str] = []
    for anchor in ("", *kept):
        names += [anchor] * bool(anchor)
        names += _interleaved(*(one.get(anchor, []) for one in after))
    return {name: chosen[name] for name in names}


def _chosen(
    base: Mapping[str, str], ours: Mapping[str, str], theirs: Mapping[str, str], settle: Settle
) -> dict[str, str] | None:
    """Return the merged items by name; `None` if both sides changed one in different ways."""
    chosen: dict[str, str] = {}
    for name in {**base, **ours, **theirs}:
        old, mine, new = base.get(name), ours.get(name), theirs.get(name)
        line = new if mine == old else mine if new in (old, mine) else ""
        if line == "" and old and mine and new:
            line = settle(old, mine, new)
        if line == "":
            return None
        if line:
            chosen[name] = line
    return chosen


def _added_after(
    side: Mapping[str, str], base: Mapping[str, str], kept: Sequence[str]
) -> dict[str, list[str]]:
    """Return the names that a side added, by the name of the kept item before them."""
    found: dict[str, list[str]] = {}
    anchor = ""
    for name in side:
        if name in kept:
            anchor = name
        elif name not in base:
            found.setdefault(anchor, []).append(name)
    return found


def _last_kept(name: str, base: Mapping[str, str], kept: Sequence[str]) -> str:
    """Return the kept item before one that is not kept; "" if there is none."""
    before = takewhile(lambda other: other != name, base)
    return next(iter([other for other in before if other in kept][::-1]), "")


def _interleaved(ones: list[str], others: list[str]) -> list[str]:
    """Return two runs of names as one, sorted if both are, each once."""
    both = {*ones, *others}
    by_name = sorted(both, key=_sort_key)
    if all([name for name in by_name if name in run] == run for run in (ones, others)):
        return by_name
    first, second = sorted((ones, others))
    return [*first, *(name for name in second if name not in first)]


def is_sorted(names: Sequence[str]) -> bool:
    """Return whether names are in alphabetical order."""
    return sorted(names, key=_sort_key) == [*names]


def _sort_key(name: str) -> tuple[str, str]:
    return name.casefold(), name
