"""What can go wrong, each with one clear line and the exit code that it ends in."""

from typing import ClassVar


class MlscaffoldError(Exception):
    """Refused or failed, and nothing was changed."""

    exit_code: ClassVar[int] = 1


class AnswerError(MlscaffoldError):
    """A value given for a question is not one that works."""

    exit_code = 2


class DestinationError(MlscaffoldError):
    """The folder that the project should become can't be written."""


class TemplateError(MlscaffoldError):
    """The template or the release asked for can't be read or rendered."""


class ProjectError(MlscaffoldError):
    """A folder is not a project that was made by a template."""


class GitError(MlscaffoldError):
    """Git is missing, or a git command failed."""


def shown(value: object) -> str:
    """The value as it stands in a message: quoted, on one line, cut when it is long."""
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= 60 else f"{text[:56]}...{text[-1]}"
