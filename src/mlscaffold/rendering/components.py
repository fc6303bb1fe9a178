"""What a template's components.yml says about its choices; all of it is optional."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from ..errors import TemplateError

Part = TypeVar("Part")
STANDARD = "standard"
"""The preset that every template has: its defaults."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that a variable of the environment may name, for `mlscaffold doctor` to ask."""

    variable: str
    path: str
    """A path that a working server answers, such as /health."""
    without: str
    """What happens when the variable names no server."""

    def __post_init__(self) -> None:
        if not self.path.startswith("/"):
            raise TypeError(f"the path of a server must begin with '/', got {self.path!r}")


@dataclass(frozen=True, kw_only=True)
class Account:
    """An account that a choice needs, for `mlscaffold doctor` to look for its key."""

    service: str
    variable: str
    """The environment variable that may hold the key."""
    host: str
    """The host in the user's netrc that may have the key."""
    mode: str
    """The variable that can select work without an account."""
    offline: tuple[str, ...]
    """The values of `mode` that select it."""
    without: str
    """What happens then."""
    fix: str
    """The command that provides a key."""


@dataclass(frozen=True, kw_only=True)
class Component:
    """What one choice adds to a project, apart from lines in files that every project has."""

    files: tuple[str, ...] = ()
    """Paths; `<package>` stands for the package's name."""
    dependencies: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    server: Server | None = None
    account: Account | None = None


# By question, then by choice.
Choices = Mapping[str, Mapping[str, Component]]


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A project's own environment, for `mlscaffold doctor` to look at."""

    setup: str
    """The command that makes it, in the folder .venv."""
    packages: tuple[str, ...] = ()
    """Packages to check further; `torch` and `dvc` are supported."""


@dataclass(frozen=True, kw_only=True)
class Components:
    """What components.yml holds."""

    choices: Choices = field(default_factory=dict)
    presets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Answers by preset."""
    environment: Environment | None = None
    next: tuple[str, ...] = ()
    """What a user types in a new project, in order."""


def read_components(table: Any) -> Components:
    """Parse a components.yml; raise TemplateError if it is invalid.

    Keys with an underscore are settings, the others are questions, as in copier.yml.
    """
    try:
        table = dict(table or {})
        presets = dict(table.pop("_presets", None) or {})
        presets = presets if STANDARD in presets else {STANDARD: {}} | presets
        environment = table.pop("_environment", None)
        following = table.pop("_next", None) or ()
        return Components(
            choices={
                question: {str(choice): _component(brought) for choice, brought in choices.items()}
                for question, choices in table.items()
                if not question.startswith("_")
            },
            presets={
                str(name): {str(key): _text(value) for key, value in (answers or {}).items()}
                for name, answers in presets.items()
            },
            environment=_part(Environment, environment) if environment else None,
            next=tuple(map(_text, following)),
        )
    except (AttributeError, TypeError, ValueError) as error:
        reason = f"components.yml can't be read: {error}".replace("\n", " ")
        raise TemplateError(reason) from error


def _component(brought: Mapping[str, Any]) -> Component:
    parts = {"server": Server, "account": Account}
    read: dict[str, Any] = {
        name: _part(parts[name], value) if name in parts else tuple(value)
        for name, value in brought.items()
    }
    return Component(**read)


def _part(kind: type[Part], entry: Mapping[str, Any]) -> Part:
    """Build a dataclass of strings and tuples of strings."""
    kinds = {one.name: one.type for one in fields(kind)}  # ty: ignore[invalid-argument-type]
    return kind(
        **{
            name: _text(value) if kinds.get(name) is str else tuple(map(_text, value))
            for name, value in entry.items()
        }
    )


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float):
        raise TypeError(f"a text was expected, got {type(value).__name__}")
    return str(value)
