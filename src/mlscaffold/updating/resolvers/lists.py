"""A list to which both sides add: the items of both, in order, each once.

Certain where the order has no meaning, each line is one item, and each item was added, changed or
removed by one side only, or by both alike. The order has none for patterns to ignore, requirements,
names in an import, entries of a dict, bullets and rows of tables in Markdown; nor for texts in TOML
and YAML, under certain keys or if there are four or more, without spaces, which all versions have
in alphabetical order. What is known to be applied in order is left. In a sorted list the items are
sorted; elsewhere those of each side stay together, and the order of their names decides which come
first.
"""

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from . import comments, items, pins
from .clash import Clash, Solution
from .edits import Lines
from .kinds import Kind
from .orders import REQUIREMENTS, is_ordered, is_unordered
from .stems import has_bound, requirement_of, stem_of
from .surroundings import are_in_text, indent_of, is_fenced, parents

NAME = "list"

_TOML_ITEM = re.compile(r"""\s+("(?:[^"\\]|\\.)*"|'[^']*')\s*,\s*(?:\#.*)?\s*""")
_YAML_ITEM = re.compile(
    r"""\s*-\s+("(?:[^"\\]|\\.)*"|'[^']*'|[^\s"'#&*!|>%@`{\[][^#]*?)(?:\s+\#.*)?\s*"""
)
# Also a date or a time; the order of numbers has a meaning.
_NUMBER = re.compile(r"[-+.]*\d[\da-fxo_.,:+-]*|[-+]?\.(inf|nan)", re.IGNORECASE)
_NAME_ITEM = re.compile(r"\s+(\w+(?: as \w+)?)\s*,\s*(?:#.*)?\s*")
_IMPORT = re.compile(
    r"\s*(import\s+[\w.]+|from\s+[\w.]+\s+import)(?:\s+as\s+\w+|\s+\w+)?(?:\s*,\s*\w+)*\s*"
)
_BULLET = re.compile(r"(\s*[-*+]\s+\S.*|\s*\|.*\|)\s*")
_SEPARATOR = re.compile(r"[\s|:-]+")
_PATTERN = re.compile(r"([^\s#!].*)\s*")

_KEYED = {Kind.TOML, Kind.YAML}

Key = Callable[[str], str]
"""Returns what an item of a list is called; "" for a line that is none."""


def resolve(clash: Clash) -> Solution | None:
    """Return the merged items, or `None` if the lines are not items of one list."""
    key = _key_in(clash)
    if not key:
        return None
    base, ours, theirs = (_items(lines, key) for lines in (clash.base, clash.ours, clash.theirs))
    if base is None or ours is None or theirs is None:
        return None
    above, below = _around(clash, key)
    if {*above, *below} & ({*ours, *theirs} - {*base}):
        return None
    chosen = items.merged(base, ours, theirs, partial(_settled, clash.kind))
    if chosen is None:
        return None
    # What neither side wrote, or the other did not, comes from another rule.
    replaced = {
        name: line
        for name, line in chosen.items()
        if base.get(name) not in (None, ours.get(name), theirs.get(name))
    }
    sides = [tuple({**side, **replaced}[name] for name in side) for side in (ours, theirs)]
    others = {
        rule.NAME
        for name in replaced
        for rule in (comments, pins)
        if rule.merged(clash.kind, base[name], ours[name], theirs[name])
    }
    return Solution(tuple(chosen.values()), (NAME, *sorted(others)), *sides)


def _settled(kind: Kind, old: str, mine: str, new: str) -> str:
    return comments.merged(kind, old, mine, new) or pins.merged(kind, old, mine, new)


def _key_in(clash: Clash) -> Key | None:
    """Return how to name the items of the list around a clash; `None` if there is no such list."""
    lines = (*clash.base, *clash.ours, *clash.theirs)
    finders = {
        Kind.IGNORE: _ignored,
        Kind.REQUIREMENTS: lambda above, lines: stem_of,
        Kind.PYTHON: _in_python,
        Kind.MARKDOWN: _in_markdown,
    }
    if clash.kind in _KEYED:
        return _keyed(clash, lines)
    finder = finders.get(clash.kind)
    return finder(clash.above, lines) if finder else None


def _keyed(clash: Clash, lines: Lines) -> Key | None:
    """Return how to name the items of a list of texts in TOML or YAML."""
    is_toml = clash.kind is Kind.TOML
    path = (_toml_path if is_toml else _yaml_path)(clash.above, lines)
    text = _toml_text if is_toml else _yaml_text
    if not path:
        return None
    above, below = _around(clash, text)
    sides = clash.base, clash.ours, clash.theirs
    versions = [[*above, *filter(None, map(text, side)), *below] for side in sides]
    are_bound = is_toml and all(has_bound(text(line)) for line in lines)
    if not are_bound and not is_unordered(path[0], versions, path[-1]):
        return None
    is_bound = is_toml and any(has_bound(item) for side in versions for item in side)
    return partial(_requirement_key, text) if is_bound or path[0] in REQUIREMENTS else text


def _around(clash: Clash, key: Key) -> tuple[list[str], list[str]]:
    """Return the names of the other items of the list, above and below."""
    return [*_neighbours(reversed(clash.above), key)][::-1], [*_neighbours(clash.below, key)]


def _of(pattern: re.Pattern[str]) -> Key:
    def key(line: str) -> str:
        found = pattern.fullmatch(line)
        return found[1].strip() if found else ""

    return key


def _ignored(above: Lines, lines: Lines) -> Key | None:
    # A pattern that includes again what was ignored must come after that.
    has_exceptions = any(line.startswith("!") for line in (*above, *lines))
    return None if has_exceptions else _of(_PATTERN)


def _in_markdown(above: Lines, lines: Lines) -> Key | None:
    # What is indented more belongs to the item above, and what is below `|---|` to a new table.
    is_list = len({*map(indent_of, lines)}) == 1 and not any(map(_SEPARATOR.fullmatch, lines))
    return _of(_BULLET) if is_list and not is_fenced(above) else None


def _toml_path(above: Lines, lines: Lines) -> list[str]:
    """Return the key of the array that the lines stand in; nothing if they do not."""
    for line in reversed(above):
        if _TOML_ITEM.fullmatch(line) or not line.strip() or line.lstrip().startswith("#"):
            continue
        found = re.fullmatch(r"\s*([\w.-]+)\s*=\s*\[\s*(?:#.*)?\s*", line)
        return [found[1]] if found else []
    return []


def _toml_text(line: str) -> str:
    found = _TOML_ITEM.fullmatch(line)
    return found[1][1:-1] if found else ""


def _requirement_key(text: Key, line: str) -> str:
    """Name a requirement, so that `numpy` and `numpy>=2` are versions of one."""
    return requirement_of(text(line)) or text(line)


def _yaml_path(above: Lines, lines: Lines) -> list[str]:
    """Return the keys around the sequence that the lines stand in, the nearest first."""
    around = parents(above, lines)
    if are_in_text(around) or len({*map(indent_of, lines)}) != 1:
        return []
    return [line.split(":")[0].strip(" \"'-") for line in around]


def _yaml_text(line: str) -> str:
    found = _YAML_ITEM.fullmatch(line)
    is_plain = bool(found) and found[1][0] not in "\"'"
    if not found or (is_plain and (_NUMBER.fullmatch(found[1]) or re.search(r":(\s|$)", found[1]))):
        return ""
    text = found[1].strip("\"'")
    # In lists of patterns, one with `!` takes back what an earlier one says.
    return "" if text.startswith("!") else text


def _in_python(above: Lines, lines: Lines) -> Key | None:
    if all(_IMPORT.fullmatch(line) for line in lines):
        return _import_key
    if all(map(_entry_key, lines)):
        # Such as an `OrderedDict` of layers; its bracket may be on a line of its own.
        return None if any(map(is_ordered, parents(above, lines)[:2])) else _entry_key
    for line in reversed(above):
        if not _NAME_ITEM.fullmatch(line):
            is_import = re.fullmatch(r"\s*from\s+[\w.]+\s+import\s*\(\s*(?:#.*)?\s*", line)
            return _of(_NAME_ITEM) if is_import else None
    return None


def _entry_key(line: str) -> str:
    """Return the key of a dict's entry, with its quotes; "" unless the line is a whole entry."""
    try:
        found = ast.parse(f"{{{line.strip()}\n'': 0}}", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    key, *others = found.keys if isinstance(found, ast.Dict) else [None]
    is_text = isinstance(key, ast.Constant) and isinstance(key.value, str) and len(others) == 1
    return ast.unparse(key) if key and is_text else ""


def _import_key(line: str) -> str:
    """Name an import by its module; `import a` is sorted before `from a import b`."""
    found = _IMPORT.fullmatch(line)
    return f"{'1' if found[1].startswith('from') else '0'} {found[1]}" if found else ""


def _items(lines: Lines, key: Key) -> dict[str, str] | None:
    """Return the lines by the names of their items; `None` if one is no item, or comes twice."""
    found = {name: line for line in lines if (name := key(line))}
    return found if len(found) == len(lines) else None


def _neighbours(lines: Iterable[str], key: Key) -> Iterator[str]:
    """Yield the names of the other items of the list, from the nearest on."""
    for line in lines:
        if name := key(line):
            yield name
        elif line.strip() and not line.lstrip().startswith("#"):
            return
