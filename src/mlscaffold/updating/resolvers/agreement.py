"""Whether a merged file holds each change of both sides, once, and where it was made."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence

from .meaning import Meaning

# Of items of a list that both sides changed; more are too many to be certain.
_MAX_ITEMS = 40


def agrees(
    base: Meaning | None, ours: Meaning | None, theirs: Meaning | None, merged: Meaning | None
) -> bool:
    """Return whether `merged` is the three-way merge of meanings; `None` stands for nothing.

    What one side left alone is as on the other side. Where both made changes, dicts must agree key
    by key, and lists and texts of several lines item by item.
    """
    versions = base, ours, theirs, merged
    if ours in (base, theirs):
        return merged == theirs
    if theirs == base:
        return merged == ours
    if all(isinstance(one, dict) or one is None for one in versions):
        dicts = [one if isinstance(one, dict) else {} for one in versions]
        return all(agrees(*(one.get(key) for one in dicts)) for key in dict.fromkeys(_flat(dicts)))
    if all(isinstance(one, list) for one in versions):
        return _lists_agree([one for one in versions if isinstance(one, list)])
    if all(isinstance(one, str) and "\n" in one for one in versions):
        return _lists_agree([[*str(one).split("\n")] for one in versions])
    return False


def counts_agree(
    base: Iterable[str], ours: Iterable[str], theirs: Iterable[str], merged: Iterable[str]
) -> bool:
    """Return whether no item is lost, and none occurs more often than both sides together ask."""
    counts = [Counter(one) for one in (base, ours, theirs, merged)]
    return all(_count_agrees(*(one[item] for one in counts)) for item in {*_flat(counts)})


def _count_agrees(base: int, ours: int, theirs: int, merged: int) -> bool:
    both = ours + theirs - base
    # Both may have made the same change.
    if min(ours, theirs) >= base:
        return max(ours, theirs) <= merged <= both
    if max(ours, theirs) <= base:
        return max(both, 0) <= merged <= min(ours, theirs)
    return merged == both


def _lists_agree(lists: Sequence[list[Meaning]]) -> bool:
    """Compare lists: equal items first, then in pairs from both ends, then by their number."""
    start = 0
    while all(len(one) > start and one[start] == lists[0][start] for one in lists):
        start += 1
    rests = [one[start:] for one in lists]
    while all(rest and rest[-1] == rests[0][-1] for rest in rests):
        rests = [rest[:-1] for rest in rests]
    return max(map(len, rests)) <= _MAX_ITEMS and _rests_agree(rests, set())


def _rests_agree(rests: Sequence[list[Meaning]], failed: set[tuple[int, int]]) -> bool:
    texts = [[json.dumps(item, sort_keys=True) for item in rest] for rest in rests]
    return _aligned(rests, texts, 0, 0, failed)


def _aligned(
    rests: Sequence[list[Meaning]],
    texts: Sequence[list[str]],
    head: int,
    tail: int,
    failed: set[tuple[int, int]],
) -> bool:
    """Return whether the lists agree without their first `head` and last `tail` items."""
    if (head, tail) in failed:
        return False
    if counts_agree(*(text[head : len(text) - tail] for text in texts)):
        return True
    for place, rest in ((head, (head + 1, tail)), (-tail - 1, (head, tail + 1))):
        if min(map(len, rests)) > head + tail and _is_pair(rests, texts, place):
            items = [one[place] for one in rests]
            if agrees(*items) and _aligned(rests, texts, *rest, failed):
                return True
    failed.add((head, tail))
    return False


def _is_pair(rests: Sequence[list[Meaning]], texts: Sequence[list[str]], place: int) -> bool:
    """Return whether the items there are versions of one item of the base.

    Otherwise what one side added to an item could be taken for an addition to a new one.
    """
    base, ours, theirs = (one[place] for one in texts[:3])
    if base in (ours, theirs):
        return all(one[place] == base or base not in one for one in texts[1:3])
    name, *names = ([_identity(item) for item in rest] for rest in rests[:3])
    return all(
        one[place] == name[place] or (name[place] not in one and len(one) == len(name))
        for one in names
    )


def _identity(item: Meaning) -> str:
    """Return what an item is known by: for a dict its kind and its first field, such as a name."""
    if not isinstance(item, dict):
        return json.dumps(item)
    first = next((value for key, value in item.items() if key), "")
    return json.dumps([item.get(""), first])


def _flat(several: Iterable[Iterable[str]]) -> Iterable[str]:
    return (item for one in several for item in one)
