"""Blocks that both sides add at one place: both of them.

Certain where they are whole units whose order has no meaning (functions and classes, rules of
make, sections and paragraphs, tables of TOML, keys of YAML) and have no name in common; or where
only one order leaves each in what it was added to, as for the last lines of a function and a new
function below. Otherwise the order of their texts decides, so that it is the same for both sides.
"""

import ast
import re
import textwrap
from collections.abc import Mapping

from .clash import Clash, Solution
from .edits import Lines
from .kinds import Kind
from .meaning import Meaning, fragment_of
from .surroundings import indent_of, parents

NAME = "blocks"

_STRUCTURED = {Kind.PYTHON, Kind.TOML, Kind.YAML, Kind.MAKEFILE, Kind.MARKDOWN}


def resolve(clash: Clash) -> Solution | None:
    """Return both blocks, with the base's lines around them if there are any."""
    for start, end in ((len(clash.base), 0), (0, len(clash.base))):
        head, tail = clash.base[:start], clash.base[len(clash.base) - end :]
        blocks = [_without(side, head, tail) for side in (clash.ours, clash.theirs)]
        if all(block and any(map(str.strip, block)) for block in blocks):
            first, second = sorted(block for block in blocks if block)
            lines = _joined(clash, head, first, second, tail)
            return Solution(lines, (NAME,), clash.ours, clash.theirs) if lines else None
    return None


def _without(side: Lines, head: Lines, tail: Lines) -> Lines | None:
    """Return what a side added between the first and the last lines of the base."""
    is_added = len(side) >= len(head) + len(tail)
    is_added = is_added and side[: len(head)] == head and side[len(side) - len(tail) :] == tail
    return side[len(head) : len(side) - len(tail)] if is_added else None


def _joined(clash: Clash, head: Lines, first: Lines, second: Lines, tail: Lines) -> Lines | None:
    orders = [(*head, *one, *other, *tail) for one, other in ((first, second), (second, first))]
    if clash.kind is Kind.IGNORE:
        has_exceptions = any(line.startswith("!") for line in (*clash.above, *orders[0]))
        return None if has_exceptions else (*head, *_patterns(first, second), *tail)
    if clash.kind not in _STRUCTURED:
        return None
    valid = [lines for lines in orders if clash.holds(lines)]
    if len(valid) == 1 and clash.kind is not Kind.MARKDOWN:
        return valid[0]
    if len(valid) == 1 and _are_apart(first, second):
        return valid[0]
    return valid[0] if valid and _are_independent(clash, first, second) else None


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


def _are_independent(clash: Clash, first: Lines, second: Lines) -> bool:
    check = {
        Kind.PYTHON: _are_definitions,
        Kind.MAKEFILE: _are_rules,
        Kind.MARKDOWN: lambda clash, first, second: _are_apart(first, second),
        Kind.TOML: _are_tables,
        Kind.YAML: _are_keys,
    }[clash.kind]
    try:
        return check(clash, first, second)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return False


def _are_definitions(clash: Clash, first: Lines, second: Lines) -> bool:
    if _least_indent(first) != _least_indent(second):
        return False
    above = parents(clash.above, (*first, *second))
    is_class = bool(above) and above[0].lstrip().startswith("class ")
    return _have_names_of_their_own(
        {lines: _defined(lines, is_class=is_class) for lines in (first, second)}
    )


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
    for node in ast.parse(textwrap.dedent("".join(lines))).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            if not (is_class or isinstance(node.value, ast.Constant)):
                return set()
            names.add(node.target.id)
        elif (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.targets[0], ast.Name)
        ):
            names.add(node.targets[0].id)
            names |= {repr(node.value.value)} if is_class else set()
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            return set()
    return names


def _are_rules(clash: Clash, first: Lines, second: Lines) -> bool:
    found = {lines: _targets(fragment_of(Kind.MAKEFILE, lines)) for lines in (first, second)}
    return _have_names_of_their_own(found)


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


def _are_tables(clash: Clash, first: Lines, second: Lines) -> bool:
    for lines in (first, second):
        fragment_of(Kind.TOML, lines)
    arrays = [{*re.findall(r"^\s*(\[\[.*?\]\])", "".join(one), re.M)} for one in (first, second)]
    return not arrays[0] & arrays[1]


def _are_keys(clash: Clash, first: Lines, second: Lines) -> bool:
    around = parents(clash.above, (*first, *second))
    is_scalar = any(re.search(r":\s*[|>][+-]?\d*\s*$", line) for line in around)
    documents = [fragment_of(Kind.YAML, lines) for lines in (first, second)]
    are_maps = all(len(one) == 1 and isinstance(next(iter(one)), dict) for one in documents)
    return are_maps and not is_scalar and _least_indent(first) == _least_indent(second)


def _are_apart(first: Lines, second: Lines) -> bool:
    """Return whether a blank line is between them in either order."""
    return all(
        not one[-1].strip() or not other[0].strip()
        for one, other in ((first, second), (second, first))
    )


def _least_indent(lines: Lines) -> int:
    return min(indent_of(line) for line in lines if line.strip())
