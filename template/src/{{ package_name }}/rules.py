"""What settings are checked against when they are built."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any, NamedTuple

from .errors import ProjectError


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
UNIT = Rule("in [0, 1]", lambda value: 0 <= value <= 1)


def up_to(limit: int, *, least: int = 1) -> Rule:
    """Return the rule for a number of things that cost memory, each of them."""
    return Rule(f"in [{least}, {limit}]", lambda value: least <= value <= limit)


def check(section: str, config: Any, **rules: Rule) -> None:
    """Check the fields of one section, each against its rule, and numbers against LARGEST too."""
    for name, rule in rules.items():
        value = getattr(config, name)
        require(rule.holds(value), f"{section}.{name}", rule.expected, value)
    for field in fields(config):
        require_size(f"{section}.{field.name}", getattr(config, field.name))


def require_size(name: str, value: object) -> None:
    """Raise the ConfigError of a number that is infinite, or larger than any that makes sense."""
    if isinstance(value, int | float):
        require(abs(value) <= LARGEST, name, f"at most {LARGEST}", value)


def require(condition: bool, name: str, expected: str, given: object) -> None:
    """Raise the ConfigError that names the setting, the value given and what was expected."""
    if not condition:
        raise ConfigError(f"{name} must be {expected}, got {given!r:.100}")
