"""Checks of settings, and of JSON that is read back.

The type of a field, such as `PositiveInt`, says which values it may have.
"""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass
from difflib import get_close_matches
from enum import StrEnum
from inspect import Parameter, signature
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    NamedTuple,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from .errors import ProjectError

T = TypeVar("T")


class ConfigError(ProjectError):
    """A setting has a value that cannot be used."""


class Rule(NamedTuple):
    """A condition on a value, as text and as a function."""

    expected: str
    holds: Callable[[Any], bool]


LARGEST = 2**32 - 1
"""Largest number in the settings: NumPy's limit for seeds, and far below float32's."""

NOT_NEGATIVE = Rule(">= 0", lambda value: value >= 0)
FILE_NAME = Rule(
    "a name without / \\ :, not of dots alone",
    lambda name: bool(name.strip(".")) and not set(name) & set("/\\:") and name.isprintable(),
)
NAMED = Rule(
    "a group with a name",
    lambda value: isinstance(value, dict) and isinstance(value.get("name"), str),
)

Name = Annotated[str, Rule("a name", bool)]
PositiveInt = Annotated[int, Rule(">= 1", lambda value: value >= 1)]
NonNegativeInt = Annotated[int, NOT_NEGATIVE]
PositiveFloat = Annotated[float, Rule("> 0", lambda value: value > 0)]
NonNegativeFloat = Annotated[float, NOT_NEGATIVE]
Fraction = Annotated[float, Rule("in [0, 1)", lambda value: 0 <= value < 1)]
Choice = Annotated[dict[str, Any], NAMED]
"""The `name` of a file, and the settings that this file defines."""


_UNIONS = (Union, UnionType)


def within(least: int, most: int) -> Rule:
    """Return the rule for a whole number in a range, both ends included."""
    return Rule(f"in [{least}, {most}]", lambda value: least <= value <= most)


@dataclass(frozen=True)
class Checked:
    """Base of a frozen dataclass whose fields are checked when it is built."""

    section: ClassVar[str] = ""
    """Section of the settings that has the fields; error messages start with it."""

    def __init_subclass__(cls, *, section: str | None = None) -> None:
        super().__init_subclass__()
        cls.section = cls.section if section is None else section

    def __post_init__(self) -> None:
        check(self, self.section)


def check(config: Any, section: str, *, largest: float = LARGEST) -> None:
    """Check each field against the rules of its type, and the size of numbers."""
    kinds = get_type_hints(type(config), include_extras=True)
    for field in fields(config):
        kind, value = kinds[field.name], getattr(config, field.name)
        name, or_null = _joined(section, field.name), " or null" * (NoneType in get_args(kind))
        if value is None and or_null:
            continue
        for option in (kind, *get_args(kind)):  # the rules of `X | None` are those of X
            for rule in getattr(option, "__metadata__", ()):
                require(rule.holds(value), name, rule.expected + or_null, value)
        if isinstance(value, int | float):
            require(abs(value) <= largest, name, f"at most {largest}", value)


def require(condition: bool, name: str, expected: str, given: object) -> None:
    """Raise a ConfigError with the setting, its value and what was expected, unless `condition`."""
    if not condition:
        raise ConfigError(f"{name} must be {expected}, got {given!r:.100}")


def typed(section: str, kind: type[T], values: Any) -> T:
    """Return the dataclass that `values`, settings or JSON, describe.

    Raises:
        ConfigError: A field is unknown, its value is not what its type says, or it has neither a
            value nor a default.
    """
    require(isinstance(values, dict), section, "a mapping", values)
    kinds = get_type_hints(kind)
    known = {field.name: kinds[field.name] for field in fields(cast(Any, kind))}
    read: dict[str, Any] = {}
    for name, value in values.items():
        require_known(str(name), known, section=section)
        read[name] = _read(value, known[name], _joined(section, name))
    for name, parameter in signature(kind).parameters.items():
        if name not in read and parameter.default is Parameter.empty:
            raise ConfigError(f"{_joined(section, name)} has no value")
    return kind(**read)


def _read(value: Any, kind: Any, name: str) -> Any:
    """Return a value of YAML or JSON as the type that a field declares."""
    origin, of = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return typed(name, kind, value)
    if origin in _UNIONS:
        for one in of:
            with suppress(ConfigError):
                return _read(value, one, name)
    if origin is dict and isinstance(value, dict):
        return {key: _read(item, of[1], f"{name}.{key}") for key, item in value.items()}
    if origin in (list, tuple) and isinstance(value, list | tuple):
        return origin(_read(item, of[0], f"{name}[{i}]") for i, item in enumerate(value))
    return _read_scalar(value, kind, name)


def _read_scalar(value: Any, kind: Any, name: str) -> Any:
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        require(value in list(kind), name, f"one of {', '.join(kind)}", value)
        return kind(value)
    if kind is float and type(value) is int:
        require(abs(value) <= LARGEST, name, f"at most {LARGEST}", value)
        return float(value)
    is_right = kind is Any or type(value) is kind  # isinstance(True, int) is true
    kinds = get_args(kind) if get_origin(kind) in _UNIONS else [kind]
    names = ["null" if one is NoneType else getattr(one, "__name__", one) for one in kinds]
    require(is_right, name, f"of type {' or '.join(names)}", value)
    return value


def _joined(section: str, name: str) -> str:
    return f"{section}.{name}" if section else name


def require_known(name: str, known: Collection[str], *, section: str) -> None:
    """Raise a ConfigError that suggests the nearest setting, unless `name` is known."""
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose one of: {', '.join(known)}"
        shown = name if name.isprintable() else ascii(name)
        raise ConfigError(f"{_joined(section, shown)} is not a setting; {hint}")


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return `{"training.epochs": "3"}` of nested settings."""
    named: dict[str, str] = {}
    for name, value in settings.items():
        nested = isinstance(value, Mapping)
        named |= flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": str(value)}
    return named


def differences(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Describe each setting that differs: its old value and its new one."""
    names = [name for name in old.keys() | new.keys() if old.get(name) != new.get(name)]
    return [
        f"{name}={old.get(name, 'nothing')} (now {new.get(name, 'nothing')})"
        for name in sorted(names)
    ]
