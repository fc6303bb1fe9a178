"""Settle the hunks of one file, and check that nothing is lost or moved by it."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

from . import blocks, comments, interplay, layout, lists, pins, touching, words
from .agreement import counts_agree
from .clash import Clash, Resolve, Solution
from .edits import Grain, Lines, applied, edits_of
from .hunks import Hunk, Part
from .kinds import kind_of
from .meaning import require_valid
from .touching import Cluster, clusters_of

_RESOLVERS: tuple[Resolve, ...] = (
    comments.resolve,
    pins.resolve,
    words.resolve,
    lists.resolve,
    blocks.resolve,
    layout.resolve,
)
_MAX_LINES = 400
_MAX_COLUMNS = 2000
_MAX_HUNKS = 20


def settled(path: str, parts: Sequence[Part]) -> list[Lines | Hunk | Solution]:
    """Return the parts of a file with each hunk settled that can be."""
    done: list[Lines | Hunk | Solution] = []
    is_lock = path.endswith((".lock", "-lock.json", "-lock.yaml"))
    if is_lock or sum(isinstance(part, Hunk) for part in parts) > _MAX_HUNKS:
        # What a program has written as a whole is to be written by it again.
        return [*parts]
    for number, part in enumerate(parts):
        if isinstance(part, Hunk):
            above, below = _text(done), _text(parts[number + 1 :])
            clash = Clash(kind_of(path), above, below, part.base, part.ours, part.theirs)
            done.append(_settled(clash) or part)
        else:
            done.append(part)
    return done


def _text(parts: Sequence[Lines | Hunk | Solution]) -> Lines:
    """Return the lines of a file, those of the project where a hunk is not settled."""
    lines: list[str] = []
    for part in parts:
        if isinstance(part, Hunk):
            lines += part.ours
        else:
            lines += part.lines if isinstance(part, Solution) else part
    return tuple(lines)


def _settled(hunk: Clash) -> Solution | None:
    """Settle a hunk, if that gives the same whichever side is whose."""
    versions = hunk.base, hunk.ours, hunk.theirs
    if max(map(len, versions)) > _MAX_LINES or max(map(len, chain(*versions))) > _MAX_COLUMNS:
        return None
    found = _by_edits(hunk)
    reverse = _by_edits(replace(hunk, ours=hunk.theirs, theirs=hunk.ours)) if found else None
    return found if found and reverse and found.lines == reverse.lines else None


def _by_edits(hunk: Clash) -> Solution | None:
    """Settle the edits that are apart from each other first, then what is left by the rules."""
    solutions = (_by_clusters(hunk, grain) for grain in Grain)
    found = (one for one in chain(solutions, [lists.resolve(hunk)]) if one and _is_safe(hunk, one))
    return next(found, None)


def _by_clusters(hunk: Clash, grain: Grain) -> Solution | None:
    """Return the hunk with each cluster of edits settled; `None` if one is not."""
    ours, theirs = (edits_of(hunk.base, side, grain) for side in (hunk.ours, hunk.theirs))
    clusters = clusters_of(ours, theirs)
    whole: tuple[list[str], ...] = ([], [], [])
    rules = [touching.NAME] if len(clusters) > 1 else []
    position = 0
    for cluster in clusters:
        solution = _solution(hunk, cluster)
        if not solution:
            return None
        rules += [rule for rule in solution.rules if rule not in rules]
        parts = solution.lines, solution.ours, solution.theirs
        for lines, part in zip(whole, parts, strict=True):
            lines += [*hunk.base[position : cluster.start], *part]
        position = cluster.end
    merged, mine, new = ((*lines, *hunk.base[position:]) for lines in whole)
    return Solution(merged, tuple(rules) or (touching.NAME,), mine, new)


def _solution(hunk: Clash, cluster: Cluster) -> Solution | None:
    """Return what settles a cluster of edits; no rule is needed where one side made changes."""
    clash = _clash_of(hunk, cluster)
    if not cluster.theirs or clash.ours == clash.theirs:
        return Solution(clash.ours, (), clash.ours, clash.theirs)
    if not cluster.ours:
        return Solution(clash.theirs, (), clash.ours, clash.theirs)
    return next(filter(None, (resolve(clash) for resolve in _RESOLVERS)), None)


def _clash_of(hunk: Clash, cluster: Cluster) -> Clash:
    start, end = cluster.start, cluster.end
    return Clash(
        hunk.kind,
        (*hunk.above, *hunk.base[:start]),
        (*hunk.base[end:], *hunk.below),
        hunk.base[start:end],
        applied(hunk.base, cluster.ours, start, end),
        applied(hunk.base, cluster.theirs, start, end),
    )


def _is_safe(hunk: Clash, solution: Solution) -> bool:
    """Return whether the file is valid, and holds what each side added, once and in its place.

    A solution's own sides are what it is compared with. Comments, pins, lists in one line and
    layout give their result as both: then it is compared with itself, and no more is seen than that
    the file is valid. Nor is an order checked. For both, the rule itself must be certain.
    """
    lines, sides = solution.lines, (solution.ours, solution.theirs)
    try:
        require_valid(hunk.kind, "".join((*hunk.above, *lines, *hunk.below)))
    except ValueError:
        return False
    clash = replace(hunk, ours=sides[0], theirs=sides[1])
    if not (clash.holds(lines) and counts_agree(hunk.base, *sides, lines)):
        return False
    are_apart = solution.rules == (touching.NAME,)
    return not interplay.break_each_other(hunk, lines, are_apart=are_apart)
