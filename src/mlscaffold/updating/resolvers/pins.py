"""A version that both sides changed: the higher one.

Certain for a requirement, an action, a hook or an image whose versions alone differ, where neither
side lowered one: a lower version was chosen for a reason that a merge can't know. Where fewer
numbers allow more, as in `~=` and in tags, all versions have equally many. Of a range such as
`>=1,<2`, each end is the higher one, if there are versions that both sides allow.
Its result is only checked for being valid.
"""

import re

from packaging.version import InvalidVersion, Version

from .clash import Clash, Solution
from .kinds import Kind
from .orders import REQUIREMENTS
from .surroundings import parents

NAME = "pin"

_VERSION = re.compile(r"(?<![\w.])v?\d+(?:\.\d+)*(?:[._-]?(?:a|b|rc|post|dev)\.?\d+)*(?![\w.*])")
_COMMIT = re.compile(r"(?<=@)[0-9a-f]{40}\b")
_REQUIREMENT = re.compile(
    r"""\s*(?:-\s+)?(["']?)[A-Za-z0-9][\w.-]*(?:\[[\w.,\s-]*\])?\s*(?:>=|==|~=|<|<=)\s*\d[^"'#]*\1"""
    r"""\s*,?\s*(?:\#.*)?\s*"""
)
_RANGE = re.compile(
    r"""[^<>=!~#,]*>=\s*[^\s,<>=!~#]+\s*,\s*<=?\s*[^\s,<>=!~#]+[\s,]*(?:\#.*)?\s*"""
)
_OTHERS = {
    Kind.YAML: re.compile(
        r"\s*(?:-\s+)?(?:uses:\s*\S+@\S+(?:\s+#.*)?|(?:rev|image):\s*\S+(?:\s+#.*)?)\s*"
    ),
    Kind.DOCKERFILE: re.compile(
        r"(?i)FROM\s+\S+:\S+(\s+AS\s+\S+)?\s*|RUN\s.*[\w-]+==\d[\w.]*.*\s*"
    ),
}
_LISTS = {Kind.TOML, Kind.YAML, Kind.REQUIREMENTS}


def resolve(clash: Clash) -> Solution | None:
    """Return the line with the higher versions."""
    if {*map(len, (clash.base, clash.ours, clash.theirs))} != {1}:
        return None
    (base,), (ours,), (theirs,) = clash.base, clash.ours, clash.theirs
    around = [line.strip(" -:\r\n") for line in parents(clash.above, clash.base)[:1]]
    if clash.kind is Kind.YAML and _REQUIREMENT.fullmatch(base) and not {*around} & REQUIREMENTS:
        # It may be a threshold, such as `loss<0.5`.
        return None
    line = merged(clash.kind, base, ours, theirs)
    return Solution((line,), (NAME,), (line,), (line,)) if line else None


def merged(kind: Kind, base: str, ours: str, theirs: str) -> str:
    """Return the line with the higher versions, which may be of both sides in a range, or ""."""
    if not all(_is_pinned(kind, line) for line in (base, ours, theirs)):
        return ""
    if len({_VERSION.sub("0", _COMMIT.sub("", line)) for line in (base, ours, theirs)}) != 1:
        return ""
    old, mine, new = (_versions(line) for line in (base, ours, theirs))
    if not (old and _is_above(mine, old) and _is_above(new, old)):
        return ""
    lengths = {tuple(len(one.release) for one in side) for side in (old, mine, new)}
    if len(lengths) > 1 and ("~=" in base or not _REQUIREMENT.fullmatch(base)):
        # `~=2.1` is wider than `~=2.1.0`, and an image `3` is a newer one than `3.11` later on.
        return ""
    if _is_above(new, mine):
        return theirs if new != mine or theirs == ours else ""
    return ours if _is_above(mine, new) else _range(ours, theirs, mine, new)


def _range(ours: str, theirs: str, mine: list[Version], new: list[Version]) -> str:
    """Return the range from the higher lower end to the higher upper end, or ""."""
    if not (_RANGE.fullmatch(ours) and len(mine) == 2):
        return ""
    if max(mine[0], new[0]) >= min(mine[1], new[1]):
        return ""
    ends = zip(mine, new, _VERSION.findall(ours), _VERSION.findall(theirs), strict=True)
    higher = [one if a > b else other for a, b, one, other in ends if a != b or one == other]
    # Not all are there if an end is written in two ways, such as `<3` and `<3.0`.
    return _VERSION.sub(lambda _: higher.pop(0), ours) if len(higher) == 2 else ""


def _is_pinned(kind: Kind, line: str) -> bool:
    if kind in _LISTS and _REQUIREMENT.fullmatch(line) and "!=" not in line:
        return True
    return bool(kind in _OTHERS and _OTHERS[kind].fullmatch(line))


def _versions(line: str) -> list[Version]:
    """Return the versions in a line, in order; none if one can't be compared."""
    try:
        return [Version(found) for found in _VERSION.findall(_COMMIT.sub("", line))]
    except InvalidVersion:
        return []


def _is_above(ones: list[Version], others: list[Version]) -> bool:
    """Return whether none is lower than its counterpart."""
    return all(one >= other for one, other in zip(ones, others, strict=True))
