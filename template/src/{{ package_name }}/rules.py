"""What settings are checked against when they are built, and JSON when it is read back."""

from collections.abc import Callable, Collection
from dataclasses import fields
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import ProjectError

T = TypeVar("T")


class ConfigError(ProjectError):
    """A setting has a value that cannot be used."""


class Rule(NamedTuple):
    """What a value must be, in words and as a test."""

    expected: str
    holds: Callable[[Any], bool]


LARGEST = 2**32 - 1
"""No number among the settings is larger: it is NumPy's limit for a seed, and what a float32 holds
with room to compute."""

NOT_EMPTY = Rule("a name", bool)
NOT_NEGATIVE = Rule(">= 0", lambda value: value >= 0)
AT_LEAST_ONE = Rule(">= 1", lambda value: value >= 1)
LIMIT = Rule(">= 1 or null", lambda value: value is None or value >= 1)
POSITIVE = Rule("> 0", lambda value: value > 0)
SHARE = Rule("in [0, 1)", lambda value: 0 <= value < 1)
NAMED = Rule(
    "a group with a name",
    lambda value: isinstance(value, dict) and isinstance(value.get("name"), str),
)
FILE_NAME = Rule(
    "a name without / \\ :, not of dots alone",
    lambda name: bool(name.strip(".")) and not set(name) & set("/\\:") and name.isprintable(),
)
LINE = Rule(
    "a line of 500 characters at most", lambda text: text.isprintable() and len(text) <= 500
)


def up_to(limit: int, *, least: int = 1) -> Rule:
    """Return the rule for a number of things that cost memory, each of them."""
    return Rule(f"in [{least}, {limit}]", lambda value: least <= value <= limit)


def check(section: str, config: Any, **rules: Rule) -> None:
    """Check the fields of one section, each against its rule, and numbers against LARGEST too."""
    for name, rule in rules.items():
        value = getattr(config, name)
        full_name = f"{section}.{name}" if section else name
        require(rule.holds(value), full_name, rule.expected, value)
    for field in fields(config):
        full_name = f"{section}.{field.name}" if section else field.name
        require_size(full_name, getattr(config, field.name))


def require_size(name: str, value: object) -> None:
    """Raise the ConfigError of a number that is infinite, or larger than any that makes sense."""
    if isinstance(value, int | float):
        require(abs(value) <= LARGEST, name, f"at most {LARGEST}", value)


def require(condition: bool, name: str, expected: str, given: object) -> None:
    """Raise the ConfigError that names the setting, the value given and what was expected."""
    if not condition:
        raise ConfigError(f"{name} must be {expected}, got {given!r:.100}")


def typed(section: str, kind: type[T], values: Any) -> T:
    """Return the dataclass that `values`, settings or JSON, describe.

    Raises:
        ConfigError: A field is unknown, or its value is of another type than it declares.
        TypeError: A field is missing that has no default.
    """
    require(isinstance(values, dict), section, "an object", values)
    known = get_type_hints(kind)
    for name, value in values.items():
        require_known(name, known, section=section)
        expected = getattr(known[name], "__name__", known[name])
        require(_is_of(value, known[name]), f"{section}.{name}", f"of type {expected}", value)
    return kind(**values)


def require_known(name: str, known: Collection[str], *, section: str) -> None:
    """Raise the ConfigError that names the nearest setting, unless `name` is one."""
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose one of: {', '.join(known)}"
        shown = name if name.isprintable() else ascii(name)
        raise ConfigError(f"{section}.{shown} is not a setting; {hint}")


def _is_of(value: Any, kind: Any) -> bool:
    """Return whether a value is of a type; any value is of a type that JSON does not have."""
    if kind in (bool, int, str, NoneType):
        return type(value) is kind  # True is an int to Python
    if kind is float:
        return type(value) in (int, float)
    if get_origin(kind) in (Union, UnionType):
        return any(_is_of(value, one) for one in get_args(kind))
    if get_origin(kind) in (list, tuple):
        item_kind = get_args(kind)[0]
        return isinstance(value, list) and all(_is_of(item, item_kind) for item in value)
    if get_origin(kind) is dict:
        item_kind = get_args(kind)[1]
        return isinstance(value, dict) and all(_is_of(item, item_kind) for item in value.values())
    return True
