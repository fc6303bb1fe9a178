"""Lines that one side only reformatted: what the other side changed, in the layout of the first.

Certain where the file means the same with the reformatted lines as with the base's, down to the
comments. Of the statements there, those that the other side changed are taken from it, all others
from the side that reformatted them. No formatter is run, and no line is written that neither wrote.
What the file means with the result is compared here with the changed lines, and later only checked
for being valid.
"""

import ast
import re
from difflib import SequenceMatcher

from .clash import Clash, Solution
from .edits import Lines
from .kinds import Kind
from .surroundings import is_fenced

NAME = "layout"

_PARSED = {Kind.PYTHON, Kind.TOML, Kind.YAML, Kind.JSON}
_TOKEN = re.compile(
    r"""(?P<string>[A-Za-z]{0,2}(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))"""
    r"|(?P<comment>\#[^\n]*)|(?P<end>\n)|(?P<space>(?:[^\S\n]|\\\n)+)|(?P<word>\w+)|(?P<other>.)",
    re.DOTALL,
)
# Lines of Markdown that can't be wrapped, or end in a line break that is meant.
_FIXED_LINE = re.compile(r"\s*([-*+>|#]|\d+[.)]|```|~~~|\s{4})|.*(  |\\)\r?\n")

_Unit = tuple[str, Lines]
"""A statement as it is written without layout, and its lines."""


def resolve(clash: Clash) -> Solution | None:
    """Return the changed statements of one side, and the others as the other side wrote them."""
    for reformatted, changed in ((clash.ours, clash.theirs), (clash.theirs, clash.ours)):
        if _is_reformatted(clash, reformatted) and not _is_reformatted(clash, changed):
            lines = _combined(clash, reformatted, changed)
            return Solution(lines, (NAME,), lines, lines) if lines is not None else None
    return None


def _is_reformatted(clash: Clash, lines: Lines) -> bool:
    """Return whether the lines are the base's in another layout."""
    base = clash.base
    if clash.kind is Kind.MARKDOWN:
        is_prose = not any(map(_FIXED_LINE.match, (*base, *lines))) and not is_fenced(clash.above)
        return is_prose and _paragraphs(base) == _paragraphs(lines)
    if clash.kind in _PARSED:
        return _comments(base) == _comments(lines) and _mean_the_same(clash, base, lines)
    # In a Makefile a space at the end may be part of a value.
    has_same_words = [line.rstrip() for line in base] == [line.rstrip() for line in lines]
    return clash.kind is not Kind.MAKEFILE and has_same_words


def _mean_the_same(clash: Clash, ones: Lines, others: Lines) -> bool:
    try:
        return clash.meaning(ones) == clash.meaning(others)
    except ValueError:
        return False


def _combined(clash: Clash, reformatted: Lines, changed: Lines) -> Lines | None:
    if clash.kind not in _PARSED:
        return changed
    base, layout, new = map(_units, (clash.base, reformatted, changed))
    old = [key for key, _ in base]
    if [key for key, _ in layout] != old:
        # The statements can't be told apart: all of them are the changed ones, if it is one.
        return changed if len(base) == 1 else None
    lines: list[str] = []
    matcher = SequenceMatcher(None, old, [key for key, _ in new], autojunk=False)
    for tag, start, end, new_start, new_end in matcher.get_opcodes():
        units = layout[start:end] if tag == "equal" else new[new_start:new_end]
        lines += [line for _, unit in units for line in unit]
    return tuple(lines) if _mean_the_same(clash, tuple(lines), changed) else None


def _units(lines: Lines) -> list[_Unit]:
    """Split lines into statements; each has the blank lines before it."""
    units: list[_Unit] = []
    unit: list[str] = []
    key: list[str] = []
    depth = taken = 0
    text = "".join(lines)
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        if kind == "end" and depth <= 0:
            unit, taken = [text[taken : token.end()]], token.end()
            if key:
                units.append(("\0".join(key), _split(_pending(units, unit))))
                key = []
            else:
                units.append(("", tuple(unit)))
        elif kind not in ("end", "space"):
            depth += (token[0] in "([{") - (token[0] in ")]}") if kind == "other" else 0
            if token[0] in ")]}" and key[-1:] == [","]:
                key.pop()
            key.append(_normal(token))
    if taken < len(text):
        units.append(("\0".join(key), _split([text[taken:]])))
    return units


def _pending(units: list[_Unit], unit: list[str]) -> list[str]:
    """Take the blank lines before a statement off the units, and return them with it."""
    while units and not units[-1][0]:
        unit = [*units.pop()[1], *unit]
    return unit


def _split(texts: list[str]) -> Lines:
    return tuple(re.findall(r"[^\n]*\n|[^\n]+", "".join(texts)))


def _normal(token: re.Match[str]) -> str:
    if token.lastgroup != "string":
        return token[0]
    try:
        return repr(ast.literal_eval(token[0]))
    except (ValueError, SyntaxError):
        return token[0]


def _comments(lines: Lines) -> list[str]:
    found = _TOKEN.finditer("".join(lines))
    return [token[0].strip() for token in found if token.lastgroup == "comment"]


def _paragraphs(lines: Lines) -> list[list[str]]:
    return [part.split() for part in re.split(r"\n\s*\n", "".join(lines)) if part.strip()]
