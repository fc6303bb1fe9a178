"""Blocks that both sides add at one place: both of them.

Certain where they are whole units whose order has no meaning (functions and classes, rules of
make, sections and paragraphs, tables of TOML, keys of YAML) and have no name in common; or where
only one order leaves each in what it was added to, as for the last lines of a function and a new
function below. A block that ends in a comment, which may be about what is below, comes last.
Otherwise the order of their texts decides, so that it is the same for both sides.
"""

import ast
import re
import textwrap
from collections.abc import Mapping
from dataclasses import replace

from .clash import Clash, Solution
from .edits import Lines
from .kinds import Kind
from .meaning import Meaning, fragment_of
from .orders import is_ordered
from .surroundings import are_in_text, indent_of, is_fenced, parents

NAME = "blocks"

_COMMENTED = {Kind.PYTHON, Kind.TOML, Kind.YAML, Kind.MAKEFILE, Kind.IGNORE}


def resolve(clash: Clash) -> Solution | None:
    """Return both blocks, with the base's lines around them if there are any."""
    for start, end in ((len(clash.base), 0), (0, len(clash.base))):
        head, tail = clash.base[:start], clash.base[len(clash.base) - end :]
        blocks = [_without(side, head, tail) for side in (clash.ours, clash.theirs)]
        first, second = (block or () for block in blocks)
        if any(map(str.strip, first)) and any(map(str.strip, second)):
            above, below = (*clash.above, *head), (*tail, *clash.below)
            inner = replace(clash, above=above, below=below, base=(), ours=first, theirs=second)
            lines = _joined(inner)
            whole = (*head, *lines, *tail) if lines else ()
            return Solution(whole, (NAME,), clash.ours, clash.theirs) if lines else None
    return None


def _without(side: Lines, head: Lines, tail: Lines) -> Lines | None:
    """Return what a side added between the first and the last lines of the base."""
    is_added = len(side) >= len(head) + len(tail)
    is_added = is_added and side[: len(head)] == head and side[len(side) - len(tail) :] == tail
    return side[len(head) : len(side) - len(tail)] if is_added else None


def _joined(clash: Clash) -> Lines | None:
    first, second = sorted((clash.ours, clash.theirs))
    commented = [block for block in (first, second) if _ends_in_comment(clash.kind, block)]
    if clash.kind is Kind.IGNORE:
        has_exceptions = any(line.startswith("!") for line in (*clash.above, *first, *second))
        return None if has_exceptions or commented else _patterns(first, second)
    if clash.kind not in _CHECKS:
        return None
    valid = [
        (one, other)
        for one, other in ((first, second), (second, first))
        if clash.holds((*one, *other))
    ]
    is_only_order = len(valid) == 1 and clash.kind is not Kind.MARKDOWN
    if not is_only_order and not (valid and _are_independent(clash)):
        return None
    return next(((*one, *other) for one, other in valid if one not in commented), None)


def _ends_in_comment(kind: Kind, block: Lines) -> bool:
    written = [line for line in block if line.strip()]
    return kind in _COMMENTED and written[-1].lstrip().startswith("#")


def _patterns(first: Lines, second: Lines) -> Lines:
    """Return the patterns that belong to the section above, then the new sections, each once."""
    leads, rests = [], []
    for lines in (first, second):
        starts = (i for i, line in enumerate(lines) if not line.strip() or line.startswith("#"))
        start = next(starts, len(lines))
        leads += [line for line in lines[:start] if line not in leads]
        rests.append(lines[start:])
    if rests[0] == rests[1]:
        rests.pop()
    return (*sorted(leads, key=str.casefold), *(line for rest in rests for line in rest))


def _are_independent(clash: Clash) -> bool:
    try:
        return _CHECKS[clash.kind](clash)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return False


def _are_definitions(clash: Clash) -> bool:
    first, second = clash.ours, clash.theirs
    if _least_indent(first) != _least_indent(second):
        return False
    above = parents(clash.above, (*first, *second))
    is_class = bool(above) and above[0].lstrip().startswith("class ")
    have_fields = all(any(map(_is_field, _statements(one))) for one in (first, second))
    if is_class and have_fields and _is_known_by_place(clash):
        return False
    return _have_names_of_their_own(
        {lines: _defined(lines, is_class=is_class) for lines in (first, second)}
    )


def _statements(lines: Lines) -> list[ast.stmt]:
    return ast.parse(textwrap.dedent("".join(lines))).body


def _is_field(node: ast.stmt) -> bool:
    return isinstance(node, ast.AnnAssign)


def _is_known_by_place(clash: Clash) -> bool:
    """Return whether the fields of the class around have an order: a named tuple or a dataclass."""
    place = len(clash.above) + 1
    tree = ast.parse("".join((*clash.above, *clash.ours, *clash.below)))
    classes = (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    around = [node for node in classes if node.lineno < place <= (node.end_lineno or 0)]
    for node in sorted(around, key=lambda node: node.lineno)[-1:]:
        is_tuple = any("NamedTuple" in ast.unparse(base) for base in node.bases)
        decorators = map(ast.unparse, node.decorator_list)
        return is_tuple or any("kw_only=True" not in one for one in decorators)
    return True


def _have_names_of_their_own(names: Mapping[Lines, set[str]]) -> bool:
    """Return whether each block defines names, and none that another defines or mentions."""
    words = {lines: {*re.findall(r"[\w.-]+", "".join(lines))} for lines in names}
    return all(names.values()) and not any(
        names[one] & (names[other] | words[other])
        for one in names
        for other in names
        if one != other
    )


def _defined(lines: Lines, *, is_class: bool) -> set[str]:
    """Return the names that the lines define; none if they do anything else.

    They define functions, classes, fields of a class that have a default, and names of constants.
    A constant in a class counts as a name too: of an enumeration's members, two can't be equal.
    """
    names: set[str] = set()
    for node in _statements(lines):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            if not (is_class or isinstance(node.value, ast.Constant)):
                return set()
            names.add(node.target.id)
        elif (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Constant)
            and len(node.targets) == 1
            and isinstance(node.targets[0], ast.Name)
        ):
            names.add(node.targets[0].id)
            names |= {repr(node.value.value)} if is_class else set()
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            return set()
    return names


def _are_rules(clash: Clash) -> bool:
    sides = clash.ours, clash.theirs
    found = {lines: _targets(fragment_of(Kind.MAKEFILE, lines)) for lines in sides}
    orders = (*sides[0], *sides[1]), (*sides[1], *sides[0])
    # The first target is what `make` makes.
    goals = {_first_rule(clash.meaning(lines)) for lines in orders}
    return len(goals) == 1 and _have_names_of_their_own(found)


def _first_rule(found: Meaning) -> str:
    rules = (str(one["rule"]) for one in found if isinstance(one, dict))
    return next((rule for rule in rules if not rule.startswith(".")), "")


def _targets(found: Meaning) -> set[str]:
    """Return the targets of rules and the variables; none where there is something else."""
    names: set[str] = set()
    for one in found:
        if isinstance(one, dict):
            words = str(one["rule"]).partition(":")[0].split()
            names |= {word for word in words if word != ".PHONY"}
        elif named := re.match(r"([\w.-]+)\s*[:?+!]?:?=", str(one)):
            names.add(named[1])
        else:
            return set()
    return names


def _are_tables(clash: Clash) -> bool:
    sides = clash.ours, clash.theirs
    for lines in sides:
        fragment_of(Kind.TOML, lines)
    arrays = [{*re.findall(r"^\s*(\[\[.*?\]\])", "".join(one), re.M)} for one in sides]
    return not arrays[0] & arrays[1] and _have_no_order(clash)


def _are_keys(clash: Clash) -> bool:
    sides = clash.ours, clash.theirs
    around = parents(clash.above, (*sides[0], *sides[1]))
    documents = [fragment_of(Kind.YAML, lines) for lines in sides]
    maps = [one[0] for one in documents if isinstance(one, list) and len(one) == 1]
    if not all(isinstance(one, dict) for one in maps) or len(maps) != 2 or are_in_text(around):
        return False
    if around and is_ordered(around[0]) and not all(map(_are_stages, maps)):
        return False
    return _least_indent(sides[0]) == _least_indent(sides[1]) and _have_no_order(clash)


def _are_stages(found: Meaning) -> bool:
    """Return whether each value is a stage of DVC, which runs them in the order of their data."""
    stages = found.values() if isinstance(found, dict) else ()
    return all(isinstance(one, dict) and {'"cmd"', '"deps"'} <= one.keys() for one in stages)


def _have_no_order(clash: Clash) -> bool:
    """Return whether the file means the same in both orders, unlike the lines of a text."""
    orders = (*clash.ours, *clash.theirs), (*clash.theirs, *clash.ours)
    return clash.meaning(orders[0]) == clash.meaning(orders[1])


def _are_sections(clash: Clash) -> bool:
    """Return whether a blank line is between them in either order, and they have no numbers."""
    sides = clash.ours, clash.theirs
    are_numbered = any(re.match(r"\s*\d+[.)]", "".join(one)) for one in sides)
    are_apart = all(
        not one[-1].strip() or not other[0].strip() for one, other in (sides, sides[::-1])
    )
    return are_apart and not are_numbered and not is_fenced(clash.above)


def _least_indent(lines: Lines) -> int:
    return min(indent_of(line) for line in lines if line.strip())


_CHECKS = {
    Kind.PYTHON: _are_definitions,
    Kind.MAKEFILE: _are_rules,
    Kind.MARKDOWN: _are_sections,
    Kind.TOML: _are_tables,
    Kind.YAML: _are_keys,
}
