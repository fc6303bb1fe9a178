"""What settings are checked against when they are built."""

from collections.abc import Callable
from typing import Any, NamedTuple

from .errors import ProjectError


class ConfigError(ProjectError):
    """A setting has a value that cannot be used."""


class Rule(NamedTuple):
    """What a value must be, in words and as a test."""

    expected: str
    holds: Callable[[Any], bool]


NOT_EMPTY = Rule("a name", bool)
NOT_NEGATIVE = Rule(">= 0", lambda value: value >= 0)
AT_LEAST_ONE = Rule(">= 1", lambda value: value >= 1)
LIMIT = Rule(">= 1 or null", lambda value: value is None or value >= 1)
POSITIVE = Rule("> 0", lambda value: value > 0)
SHARE = Rule("in [0, 1)", lambda value: 0 <= value < 1)
UNIT = Rule("in [0, 1]", lambda value: 0 <= value <= 1)


def check(section: str, config: object, **rules: Rule) -> None:
    """Check the fields of one section, each against its rule."""
    for name, rule in rules.items():
        value = getattr(config, name)
        require(rule.holds(value), f"{section}.{name}", rule.expected, value)


def require(condition: bool, name: str, expected: str, given: object) -> None:
    """Raise the ConfigError that names the setting, the value given and what was expected."""
    if not condition:
        raise ConfigError(f"{name} must be {expected}, got {given!r}")
