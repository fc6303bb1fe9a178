"""Lines that only touch: both sides changed lines next to each other, which git calls a conflict.

Certain where they are different lines of the base. If one side added lines, the other may have
changed the lines beside them one for one, but not added or removed some: what is added to the end
of a function must not stay behind when the function goes. Where an addition could as well be said
to stand further up or down, as between equal lines, the other side must have left that place alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .edits import Edit

NAME = "touching"


@dataclass(frozen=True)
class Cluster:
    """Lines `start` to `end` of the base, with the edits of both sides that meet there."""

    start: int
    end: int
    ours: tuple[Edit, ...]
    theirs: tuple[Edit, ...]


def clusters_of(ours: Iterable[Edit], theirs: Iterable[Edit]) -> list[Cluster]:
    """Return the edits of both sides in order, those in each other's way together."""
    found = [Cluster(one.start, one.end, (one,), ()) for one in ours]
    for one in theirs:
        found = _joined(found, Cluster(one.start, one.end, (), (one,)))
    return sorted(found, key=lambda cluster: (cluster.start, cluster.end))


def _joined(found: Sequence[Cluster], new: Cluster) -> list[Cluster]:
    """Add a cluster to others, as one with those that are in its way."""
    met = [one for one in found if _meet(one, new)]
    if not met:
        return [*found, new]
    both = [*met, new]
    joined = Cluster(
        min(one.start for one in both),
        max(one.end for one in both),
        tuple(sorted((edit for one in both for edit in one.ours), key=_place)),
        tuple(sorted((edit for one in both for edit in one.theirs), key=_place)),
    )
    return _joined([one for one in found if one not in met], joined)


def _meet(one: Cluster, other: Cluster) -> bool:
    is_within = max(one.start, other.start) < min(one.end, other.end)
    # An insertion inside what the others span.
    is_within |= one.start < other.start <= other.end < one.end
    is_within |= other.start < one.start <= one.end < other.end
    pairs = [(a, b) for a in one.ours for b in other.theirs]
    pairs += [(a, b) for a in other.ours for b in one.theirs]
    return is_within or any(_clash(a, b) for a, b in pairs)


def _clash(one: Edit, other: Edit) -> bool:
    """Return whether the order or the extent of two sides' edits is not certain.

    They may touch, unless one adds lines and the other adds or removes some there: what is added to
    a function does not stay where the function goes.
    """
    if max(one.first, other.first) < min(one.last, other.last):
        return True
    is_touching = max(one.first, other.first) == min(one.last, other.last)
    grows = (one.growth > 0 and other.growth) or (other.growth > 0 and one.growth)
    return bool(is_touching and grows)


def _place(edit: Edit) -> tuple[int, int]:
    return edit.start, edit.end
