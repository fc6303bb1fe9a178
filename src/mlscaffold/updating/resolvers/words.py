"""A list within one line to which both sides add: the words of both, in order, each once.

Certain where the order has no meaning: phony targets and files to remove in a Makefile, names that
are imported, and texts in TOML and YAML under certain keys; also texts and names in brackets, there
and in Python, if there are four or more and all versions have them in alphabetical order,
unless they are known to be applied in order. Its result is only checked for being valid.
"""

import re
from collections.abc import Iterator

from . import items
from .clash import Clash, Solution
from .kinds import Kind
from .orders import is_unordered
from .stems import requirement_of

NAME = "list"
"""To a user, a list is one, whether on one line or on several: `lists` has the same name."""

_MAKE = re.compile(
    r"""(\.PHONY\s*:\s*|\t[@-]?\s*rm(?:\s+-\w+)*\s+)([^#;&|"'`]*?)(\s*(?:##.*)?\n)"""
)
_ARRAYS = {
    Kind.TOML: re.compile(r"(\s*([\w.-]+)\s*=\s*\[\s*)([^\[\]#]*?)(\s*,?\s*\].*\n)"),
    Kind.YAML: re.compile(r"(\s*(?:-\s+)?([\w.-]+)\s*:\s*\[\s*)([^\[\]{}#]*?)(\s*,?\s*\].*\n)"),
}
_IMPORT = re.compile(r"(\s*from\s+[\w.]+\s+import\s+\(?\s*)([^()#*]*?)(\s*,?\s*\)?\s*\n)")
_DISPLAY = re.compile(r"(?:(?<![\w)\]])[\[{]|(?<=\bin )\()([^\[\](){}:]*)[\])}]")
# Numbers are none: their order has a meaning.
_ITEM = re.compile(r"""[A-Za-z_]\w*(?: as \w+)?|"[^"\\]*"|'[^'\\]*'""")

_Parts = tuple[str, list[str], str, str]
"""What is before a list, its words, what is between two of them, and what is after the list."""


def resolve(clash: Clash) -> Solution | None:
    """Return the line with the words of both sides."""
    if {*map(len, (clash.base, clash.ours, clash.theirs))} != {1}:
        return None
    (base,), (ours,), (theirs,) = clash.base, clash.ours, clash.theirs
    lines = (_merged(clash.kind, *parts) for parts in _splits(clash.kind, base, ours, theirs))
    line = next(filter(None, lines), "")
    return Solution((line,), (NAME,), (line,), (line,)) if line else None


def _merged(kind: Kind, base: _Parts, ours: _Parts, theirs: _Parts) -> str:
    """Return the merged line; "" if more than the words differs, or they can't be merged."""
    head, _, separator, tail = base
    if any((one[0], one[3]) != (head, tail) for one in (ours, theirs)):
        return ""
    words = [{word: word for word in one[1]} for one in (base, ours, theirs)]
    if [*map(len, words)] != [len(one[1]) for one in (base, ours, theirs)]:
        return ""
    merged = items.merged(*words, lambda old, mine, new: "") or {}
    names = {requirement_of(word.strip("\"'")) or word for word in merged}
    if kind in _ARRAYS and len(names) < len(merged):
        return ""
    return f"{head}{separator.join(merged)}{tail}" if merged else ""


def _splits(
    kind: Kind, base: str, ours: str, theirs: str
) -> Iterator[tuple[_Parts, _Parts, _Parts]]:
    """Yield how the three versions of a line can be a list."""
    versions = [_split(kind, line) for line in (base, ours, theirs)]
    if versions[0] and versions[1] and versions[2]:
        yield versions[0], versions[1], versions[2]
    if kind is Kind.PYTHON:
        for found in _DISPLAY.finditer(base):
            head, tail = base[: found.start(1)], base[found.end(1) :]
            if all(_surround(head, tail, line) for line in (ours, theirs)):
                insides = [line[len(head) : len(line) - len(tail)] for line in (base, ours, theirs)]
                words = [_words(inside) for inside in insides]
                if is_unordered(head, words) and not _is_target(head, tail):
                    one, two, three = ((head, word, ", ", tail) for word in words)
                    yield one, two, three


def _is_target(head: str, tail: str) -> bool:
    """Return whether what is in brackets is assigned to, as in `[a, b] = f()`."""
    is_assigned = re.search(r"(?<![=<>!:])=(?!=)", tail) and not re.search(r"[(=]", head)
    return bool(is_assigned or re.match(r".\s*in\b", tail))


def _surround(head: str, tail: str, line: str) -> bool:
    is_long_enough = len(line) >= len(head) + len(tail)
    return is_long_enough and line.startswith(head) and line.endswith(tail)


def _split(kind: Kind, line: str) -> _Parts | None:
    """Split a line that is a list whose order has no meaning."""
    if kind is Kind.MAKEFILE and (found := _MAKE.fullmatch(line)):
        words = found[2].split()
        are_whole = all(word.count("(") == word.count(")") for word in words)
        return (found[1], words, " ", found[3]) if are_whole else None
    if kind is Kind.PYTHON and (found := _IMPORT.fullmatch(line)):
        return found[1], _words(found[2]), ", ", found[3]
    found = _ARRAYS[kind].fullmatch(line) if kind in _ARRAYS else None
    if found and is_unordered(found[2], [words := _words(found[3])]):
        return found[1], words, ", ", found[4]
    return None


def _words(text: str) -> list[str]:
    """Return the words between commas; none if one is not a name or a text."""
    words = [word.strip() for word in text.split(",")]
    return words if all(map(_ITEM.fullmatch, words)) else []
