"""Changes that are right alone and wrong together, though the merged file is valid.

In Python, two imports of one name, and a statement after a new `return`; in code of any kind, a
name that one side gave up and the other uses once more; in any file, a text of several lines, such
as a script or a prompt, that is in no version.
"""

import re
from collections import Counter
from collections.abc import Iterator

from .clash import Clash
from .edits import Lines
from .kinds import Kind
from .meaning import Meaning

_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
_CODE = {Kind.PYTHON, Kind.MAKEFILE, Kind.SHELL, Kind.DOCKERFILE}
_LEAVING = {"Return", "Raise", "Continue", "Break"}


def break_each_other(clash: Clash, merged: Lines, *, are_apart: bool) -> bool:
    """Return whether the merged lines may be wrong, although each side's are right.

    Args:
        clash: What both sides changed.
        merged: The lines with the changes of both.
        are_apart: Whether the sides changed different lines: then a text may have changes of both.
    """
    versions, result = clash.meanings, clash.meaning(merged)
    if not are_apart and _texts(result) - {text for one in versions for text in _texts(one)}:
        return True
    if clash.kind is Kind.PYTHON and (
        _bind_a_name_twice(*versions[1:], result)
        or _unreachable(result) > max(map(_unreachable, versions))
    ):
        return True
    return clash.kind in _CODE and _use_what_is_gone(clash)


def _texts(meaning: Meaning) -> set[str]:
    """Return the texts of several lines."""
    return {leaf for leaf in _parts(meaning) if isinstance(leaf, str) and "\n" in leaf}


def _bind_a_name_twice(ours: Meaning, theirs: Meaning, merged: Meaning) -> bool:
    """Return whether a name is imported from more places than on either side."""
    sides = _imports(ours), _imports(theirs)
    return any(
        len(origins) > max(len(side.get(name, ())) for side in sides)
        for name, origins in _imports(merged).items()
    )


def _imports(meaning: Meaning) -> dict[str, set[str]]:
    """Return what each imported name stands for; `import a.b` binds `a`."""
    found: dict[str, set[str]] = {}
    for node in _parts(meaning):
        if isinstance(node, dict) and node[""] in ("Import", "ImportFrom"):
            module = f"{node.get('level', '')} {node.get('module', '')}"
            for alias in node["names"]:
                fields = alias if isinstance(alias, dict) else {}
                name, asname = str(fields["name"]), str(fields.get("asname", ""))
                is_package = node[""] == "Import" and not asname
                origin = name.partition(".")[0] if is_package else name
                found.setdefault(asname or origin, set()).add(f"{module} {origin}")
    return found


def _unreachable(meaning: Meaning) -> int:
    """Return how many blocks have a statement after one that leaves them."""
    return sum(
        isinstance(one, dict) and one.get("") in _LEAVING
        for part in _parts(meaning)
        if isinstance(part, list)
        for one in part[:-1]
    )


def _use_what_is_gone(clash: Clash) -> bool:
    """Return whether a name of the base is gone on one side, and used more on the other."""
    base, ours, theirs = (
        Counter(_IDENTIFIER.findall("".join(lines)))
        for lines in (clash.base, clash.ours, clash.theirs)
    )
    return any(
        name not in one and other[name] > count
        for name, count in base.items()
        for one, other in ((ours, theirs), (theirs, ours))
    )


def _parts(meaning: Meaning) -> Iterator[Meaning]:
    """Yield a meaning and all that is in it."""
    pending = [meaning]
    while pending:
        one = pending.pop()
        yield one
        if not isinstance(one, str):
            pending += one.values() if isinstance(one, dict) else one
