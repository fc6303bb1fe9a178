"""The pieces that a release can add to a project: what it writes for each kind of piece."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from ..errors import TemplateError, shown
from ..repository import git
from .releases import Releases

if TYPE_CHECKING:
    from jinja2 import Environment

_FOLDER = "pieces"
_TABLE = f"{_FOLDER}/pieces.yml"


@dataclass(frozen=True, kw_only=True)
class Lines:
    """Lines for an existing file of a project."""

    file: str
    below: str
    """The line of the file below which they belong."""
    taken: str
    """How a line of the file begins if the piece's name is in use there."""
    text: str


@dataclass(frozen=True, kw_only=True)
class Piece:
    """What a release writes for one piece of a project."""

    complaint: str
    """Why the name is refused; empty if it is not."""
    mark: str
    """What marks the places to fill in."""
    files: Mapping[str, str]
    """The new files by path."""
    lines: tuple[Lines, ...]
    next: tuple[str, ...]
    """Commands to type then."""


def kinds(releases: Releases, ref: str) -> tuple[str, ...]:
    """Return the kinds of pieces that a release can add; empty if it can add none."""
    table = releases.read_yaml(ref, _TABLE) or {}
    if not isinstance(table, dict):
        raise TemplateError(f"{_TABLE} can't be read: it must hold pieces by kind")
    return tuple(str(kind) for kind in table if not str(kind).startswith("_"))


def read_piece(releases: Releases, ref: str, kind: str, data: Mapping[str, Any]) -> Piece:
    """Return what a release writes for a piece.

    `data` are the project's answers, and the piece's `name` and `class_name`. Raises TemplateError
    if the release does not describe the piece rightly.
    """
    arguments: Any = {"ref": ref, "kind": kind, "data": dict(data)}
    if releases.trusted:
        found = rendered(releases, **arguments)
    else:
        found = releases.in_sandbox("piece", **arguments)
    piece = Piece(
        complaint=found["complaint"],
        mark=found["mark"],
        files=found["files"],
        lines=tuple(Lines(**one) for one in found["lines"]),
        next=tuple(found["next"]),
    )
    for path in (*piece.files, *(one.file for one in piece.lines)):
        _require_inside(path)
    return piece


def rendered(releases: Releases, *, ref: str, kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a piece as JSON values, rendered in this process."""
    from jinja2 import TemplateError as JinjaError

    table = releases.read_yaml(ref, _TABLE)
    environment = _environment(releases, ref)

    def text(template: Any) -> str:
        return environment.from_string(str(template)).render(data)

    def source(template: str) -> str:
        path = f"{_FOLDER}/{text(template)}"
        content = releases.read(ref, path)
        if not content:
            raise TemplateError(f"{_TABLE} names {path}, which is missing or empty")
        content = text(content) if path.endswith(".jinja") else content
        return content.rstrip("\n") + "\n"

    try:
        described = table[kind]
        files = {text(path): name for path, name in (described.get("files") or {}).items()}
        return {
            "complaint": " ".join(text(table.get("_validator") or "").split()),
            "mark": str(table.get("_mark") or ""),
            "files": {path: source(name) for path, name in files.items() if path},
            "lines": [
                {
                    **{name: text(entry[name]) for name in ("file", "below", "taken")},
                    "text": source(entry["source"]),
                }
                for entry in described.get("lines") or ()
            ],
            "next": [text(command) for command in described.get("next") or ()],
        }
    except (JinjaError, AttributeError, KeyError, TypeError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise TemplateError(f"{_TABLE} can't be read: {reason}") from error


def _environment(releases: Releases, ref: str) -> "Environment":
    from jinja2 import FunctionLoader, StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    return SandboxedEnvironment(
        loader=FunctionLoader(lambda path: releases.read(ref, path) or None),
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )


def _require_inside(path: str) -> None:
    """Raise TemplateError unless the path is one in a project, and none that git takes for its."""
    parts = PurePosixPath(path)
    is_inside = not parts.is_absolute() and ".." not in parts.parts and "\\" not in path
    if not (path and path.isprintable() and is_inside) or git.is_git_name(path):
        raise TemplateError(f"{_TABLE} names {shown(path)}, which is no path of a project's file")
