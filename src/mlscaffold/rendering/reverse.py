"""Carry changes of a rendered text back into the template's text: the reverse of rendering it."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

Edit = tuple[int, int, list[str]]
"""The first line of a range, the line after its last, and the lines in its place."""
_SIMILAR = 0.6
"""The ratio of characters from which two lines count as versions of one."""
_MAX_COMPARED = 2000
"""How many pairs of lines of one change are compared."""
_EXPRESSION = re.compile(r"\{\{.*?\}\}")
_BLOCK = re.compile(r"\{%[-+]?\s*(end)?(if|for|filter|call|macro|block|raw|set(?![^%]*=))\b")


@dataclass(frozen=True)
class Reversed:
    """A template's text with changes of what it renders."""

    text: str
    left_out: tuple[tuple[int, int], ...]
    """The first and the last line, from 1, of each changed part that could not be carried back.

    They are lines of the changed text; where the last is lower, lines were removed before the
    first.
    """


def reverse(
    source: str, wanted: str, *, render: Callable[[str], str], names: Mapping[str, str]
) -> Reversed:
    """Return the template's text `source`, changed so that it renders to `wanted`.

    A change is carried over if rendering then gives that change and nothing else; every other one
    is left out. `names` are expressions by the text that they stand for in this project; new lines
    get the expression.
    """
    if "\r" in source:
        if source.count("\n") != source.count("\r\n"):
            return Reversed(source, ((1, wanted.count("\n")),))
        text = source.replace("\r\n", "\n")
        found = reverse(text, wanted.replace("\r\n", "\n"), render=render, names=names)
        return replace(found, text=found.text.replace("\n", "\r\n"))
    rendered = render(source)
    old, new, lines = (text.splitlines(keepends=True) for text in (rendered, wanted, source))
    places = _places(old, lines)
    edits: list[Edit] = []
    done: list[Edit] = []
    left_out = []
    for start, end, first, last in _changes(old, new):
        change = start, end, new[first:last]
        expected = _edited(old, [*done, change])
        for edit in _candidates(lines, places, old, change, names):
            if _try(render, _edited(lines, [*edits, edit])) == expected:
                edits.append(edit)
                done.append(change)
                break
        else:
            left_out.append((first + 1, last))
    return Reversed(_edited(lines, edits), tuple(left_out))


def _changes(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[int, int, int, int]]:
    """Yield each changed range of lines and the range in its place; a line alone if it can be."""
    for kind, start, end, first, last in _matcher(old, new).get_opcodes():
        if kind == "equal":
            continue
        for number in range(start, end):
            if end - number == last - first:
                place = first
            elif (end - number) * (last - first) > _MAX_COMPARED:
                break
            else:
                place = _most_similar(old[number], new, range(first, last))
            if place >= 0:
                if (number, place) != (start, first):
                    yield start, number, first, place
                yield number, number + 1, place, place + 1
                start, first = number + 1, place + 1
        if (start, first) != (end, last):
            yield start, end, first, last


def _most_similar(line: str, others: Sequence[str], numbers: range) -> int:
    """Return which of the other lines a line has become; -1 if none is similar."""
    ratios = [SequenceMatcher(None, line, others[number]).ratio() for number in numbers]
    best = max(ratios, default=0)
    return numbers[ratios.index(best)] if best >= _SIMILAR else -1


def _candidates(
    lines: Sequence[str],
    places: Mapping[int, int],
    old: Sequence[str],
    change: Edit,
    names: Mapping[str, str],
) -> Iterator[Edit]:
    """Yield the edits of the template's lines that may have the effect of a change, best first."""
    start, end, new = change
    named = [_named(line, names) for line in new]
    if start == end:
        first = places[start - 1] + 1 if start - 1 in places else 0
        last = places.get(start, len(lines) if start == len(old) else first)
        depths = _depths(lines)
        for place in sorted(range(first, last + 1), key=lambda place: depths[place]):
            yield place, place, named
        return
    first, last = places.get(start, -1), places.get(end - 1, -1) + 1
    if first < 0 or last - first != end - start:
        return
    if lines[first:last] == old[start:end] or not new:
        yield first, last, named
    elif len(new) == last - first == 1:
        line = _in_line(lines[first], old[start], new[0], names)
        if line:
            yield first, last, [line]


def _in_line(line: str, shown: str, new: str, names: Mapping[str, str]) -> str:
    """Return the new line with the expressions of the template's line where their values are.

    It is empty if it lacks one of them: that is an answer of the project, and no fix.
    """
    literals = "(.*)".join(map(re.escape, _EXPRESSION.split(line)))
    values = re.fullmatch(literals, shown, re.DOTALL)
    if values is None:
        return ""
    written, at = "", 0
    for expression, value in zip(_EXPRESSION.findall(line), values.groups(), strict=True):
        where = new.find(value, at)
        if not value or where < 0 or new.count(value) != shown.count(value):
            return ""
        written += _named(new[at:where], names) + expression
        at = where + len(value)
    return written + _named(new[at:], names)


def _named(text: str, names: Mapping[str, str]) -> str:
    for value, expression in names.items():
        text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", lambda _, it=expression: it, text)
    return text


def _places(old: Sequence[str], lines: Sequence[str]) -> dict[int, int]:
    """Return which line of the template each rendered line comes from, where that is known.

    Between two that are the same, as many lines on both sides correspond to each other.
    """
    places: dict[int, int] = {}
    for kind, start, end, first, last in _matcher(old, lines).get_opcodes():
        if kind == "equal" or (kind == "replace" and end - start == last - first):
            places |= zip(range(start, end), range(first, last), strict=True)
    return places


def _depths(lines: Sequence[str]) -> list[int]:
    """Return how many blocks of Jinja are open before each line, and at the end."""
    depths = [0]
    for line in lines:
        ends = [bool(match[1]) for match in _BLOCK.finditer(line)]
        depths.append(depths[-1] + ends.count(False) - ends.count(True))
    return depths


def _edited(lines: Sequence[str], edits: Sequence[Edit]) -> str:
    """Return the text with each range of lines replaced; the ranges are in order."""
    parts, at = [], 0
    for start, end, new in edits:
        parts += [*lines[at:start], *new]
        at = max(at, end)
    return "".join([*parts, *lines[at:]])


def _try(render: Callable[[str], str], text: str) -> str | None:
    """Render a text; return `None` if it is no template."""
    try:
        return render(text)
    except Exception:  # Whatever an expression raises.
        return None


def _matcher(old: Sequence[str], new: Sequence[str]) -> SequenceMatcher[str]:
    return SequenceMatcher(None, old, new, autojunk=False)
