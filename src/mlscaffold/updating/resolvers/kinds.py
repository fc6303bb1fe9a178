"""Kinds of files, by their names: what a line means depends on them."""

import re
from enum import StrEnum
from pathlib import PurePosixPath


class Kind(StrEnum):
    """How a file is read."""

    PYTHON = "python"
    TOML = "toml"
    YAML = "yaml"
    JSON = "json"
    MAKEFILE = "makefile"
    MARKDOWN = "markdown"
    IGNORE = "ignore"
    """Patterns, one a line, as in .gitignore."""
    REQUIREMENTS = "requirements"
    DOCKERFILE = "dockerfile"
    SHELL = "shell"
    TEXT = "text"


_SUFFIXES = {
    ".py": Kind.PYTHON,
    ".pyi": Kind.PYTHON,
    ".toml": Kind.TOML,
    ".yaml": Kind.YAML,
    ".yml": Kind.YAML,
    ".cff": Kind.YAML,
    ".json": Kind.JSON,
    ".ipynb": Kind.JSON,
    ".mk": Kind.MAKEFILE,
    ".md": Kind.MARKDOWN,
    ".sh": Kind.SHELL,
    ".bash": Kind.SHELL,
}
_NAMES = {
    "makefile": Kind.MAKEFILE,
    "gnumakefile": Kind.MAKEFILE,
    "dockerfile": Kind.DOCKERFILE,
    ".gitignore": Kind.IGNORE,
    ".dockerignore": Kind.IGNORE,
    ".dvcignore": Kind.IGNORE,
    ".env.example": Kind.SHELL,
}


def kind_of(path: str) -> Kind:
    """Return the kind of a file."""
    name = PurePosixPath(path).name.lower()
    if re.fullmatch(r"requirements[\w.-]*\.txt", name):
        return Kind.REQUIREMENTS
    if name.startswith("dockerfile."):
        return Kind.DOCKERFILE
    return _NAMES.get(name) or _SUFFIXES.get(PurePosixPath(name).suffix, Kind.TEXT)
