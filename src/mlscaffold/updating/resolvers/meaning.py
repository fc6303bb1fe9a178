"""What the text of a file means, without its layout: nested lists and dicts of strings.

Comments, blank lines, quotes and line breaks that do not matter to the file's reader are left out,
so that two texts with one meaning differ only in layout. A text that its reader would refuse
raises ValueError.
"""

import ast
import json
import re
import textwrap
import tomllib
import warnings
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from .kinds import Kind

Meaning = dict[str, "Meaning"] | list["Meaning"] | str

_MAX_CHARACTERS = 100_000
_HEADING = re.compile(r"#{1,6}\s+\S")
_FENCE = re.compile(r"\s*(```|~~~)")
_RULE = re.compile(r"[^\s#=:][^#=:]*::?(?!=)(?!:)")
_ASSIGNMENT = re.compile(r"(?:(?:export|override|unexport)\s+)*[\w.-]+\s*(?:[:?+!]|::)?=")
_DIRECTIVE = re.compile(r"-?include\b|(un)?export\b|vpath\b|\$\(|undefine\b")
_OPENING, _CLOSING = re.compile(r"\s*(ifeq|ifneq|ifdef|ifndef)\b"), re.compile(r"\s*endif\b")


@lru_cache(maxsize=64)
def meaning_of(kind: Kind, text: str) -> Meaning:
    """Return what a text means; raise ValueError if it is not valid.

    Files of other kinds than Python, TOML, YAML, JSON, Markdown and make mean their lines.
    """
    if len(text) > _MAX_CHARACTERS:
        raise ValueError("too long")
    readers = {
        Kind.PYTHON: _python,
        Kind.TOML: lambda text: _plain(tomllib.loads(text)),
        Kind.YAML: _yaml,
        Kind.JSON: _json,
        Kind.MAKEFILE: _makefile,
        Kind.MARKDOWN: _markdown,
    }
    try:
        return readers.get(kind, _lines)(text)
    except (SyntaxError, RecursionError, MemoryError, OverflowError) as error:
        raise ValueError(str(error)) from error


def require_valid(kind: Kind, text: str) -> None:
    """Raise ValueError if a text is not valid; for Python, also where the compiler refuses it."""
    meaning_of(kind, text)
    if kind is Kind.PYTHON:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                compile(text, "merged", "exec", dont_inherit=True)
        except (SyntaxError, RecursionError, MemoryError) as error:
            raise ValueError(str(error)) from error


def _python(text: str) -> Meaning:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _node(ast.parse(text))


def _node(node: Any) -> Meaning:
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if value is not None)
        named = {name: _node(value) for name, value in fields if name != "ctx"}
        return {"": type(node).__name__, **named}
    if isinstance(node, list):
        return [_node(item) for item in node]
    return node if isinstance(node, str) else f"{type(node).__name__} {node!r}"


def _plain(value: Any) -> Meaning:
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value if isinstance(value, str) else f"{type(value).__name__} {value!r}"


def _json(text: str) -> Meaning:
    return _plain(json.loads(text, object_pairs_hook=_unique))


def _yaml(text: str) -> Meaning:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        events = yaml.parse(text, Loader=loader) if "*" in text else ()
        if any(isinstance(event, yaml.AliasEvent) for event in events):
            raise ValueError("aliases, which can stand for more than can be read")
        return [_yaml_node(node) for node in yaml.compose_all(text, Loader=loader)]
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _yaml_node(node: Any) -> Meaning:
    import yaml

    if isinstance(node, yaml.MappingNode):
        return _unique(
            (json.dumps(_yaml_node(key)), _yaml_node(value)) for key, value in node.value
        )
    if isinstance(node, yaml.SequenceNode):
        return [_yaml_node(item) for item in node.value]
    # A number and a text that looks like it differ in their tags.
    tag = node.tag.removeprefix("tag:yaml.org,2002:")
    return node.value if tag == "str" else f"{tag} {node.value}"


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{key} occurs twice")
        found[key] = value
    return found


def _lines(text: str) -> Meaning:
    return [line.rstrip() for line in text.split("\n") if line.strip()]


def _markdown(text: str) -> Meaning:
    sections: list[tuple[list[Meaning], list[Meaning]]] = [([], [])]
    is_fenced = False
    for line in text.split("\n"):
        is_fenced ^= bool(_FENCE.match(line))
        if _HEADING.match(line) and not is_fenced:
            level = len(line) - len(line.lstrip("#"))
            above = [one for one in sections[-1][0] if _level(one) < level]
            sections.append(([*above, line.strip()], []))
        elif line.strip():
            sections[-1][1].append(line.rstrip())
    if is_fenced:
        raise ValueError("a code block does not end")
    return [{"headings": headings, "lines": lines} for headings, lines in sections]


def _level(heading: Meaning) -> int:
    return len(str(heading)) - len(str(heading).lstrip("#"))


def _makefile(text: str) -> Meaning:
    """Return the rules with their recipes, and the other lines, in order.

    make itself is not asked: reading a Makefile may run commands.
    """
    found: list[Meaning] = []
    recipe: list[Meaning] | None = None
    depth = 0
    for line in re.sub(r"\\\n\s*", " ", text).split("\n"):
        if line.startswith("\t") and line.strip():
            if recipe is None:
                raise ValueError("a recipe without a rule")
            recipe.append(line.strip())
        elif line.strip() and not line.lstrip().startswith("#"):
            depth += bool(_OPENING.match(line)) - bool(_CLOSING.match(line))
            if depth < 0 or re.match(r"\s*(define|endef)\b", line):
                raise ValueError("conditionals that do not match, or a macro")
            is_conditional = _OPENING.match(line) or re.match(r"\s*(else|endif)\b", line)
            if is_conditional or _ASSIGNMENT.match(line) or _DIRECTIVE.match(line):
                found.append(line.strip())
                recipe = recipe if is_conditional else None
            elif _RULE.match(line):
                recipe = []
                found.append({"rule": line.strip(), "recipe": recipe})
            else:
                raise ValueError("neither a rule nor an assignment")
    if depth:
        raise ValueError("a conditional does not end")
    return found


def fragment_of(kind: Kind, lines: Iterable[str]) -> Meaning:
    """Return what some lines mean on their own, whatever their indentation."""
    return meaning_of(kind, textwrap.dedent("".join(lines)))
