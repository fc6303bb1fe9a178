"""What a project, its package and its author may be called: only what works everywhere."""

import re
import unicodedata
from collections.abc import Callable, Collection

_PROJECT = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
_PACKAGE = re.compile(r"[a-z][a-z0-9_]{0,49}")
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
# Says what was expected when the value is invalid, else the empty string.
Rule = Callable[[str, Collection[str]], str]


def _project_name(value: str, reserved: Collection[str]) -> str:
    if not _PROJECT.fullmatch(value):
        return "1 to 64 letters, digits, '.', '_' or '-', with a letter or digit at both ends"
    return _taken(re.sub(r"[-_.]+", "_", value.lower()), reserved)


def _package_name(value: str, reserved: Collection[str]) -> str:
    if not _PACKAGE.fullmatch(value):
        return "1 to 50 of a-z, 0-9 and '_', with a letter first"
    return _taken(value, reserved)


def _taken(name: str, reserved: Collection[str]) -> str:
    if name in reserved:
        return "no keyword, standard module, dependency of the project or device of Windows"
    return ""


def _description(value: str, _: Collection[str]) -> str:
    return _one_line(value, longest=200)


def _author_name(value: str, _: Collection[str]) -> str:
    if not any(character.isalnum() for character in value):
        return "a name with at least one letter"
    return _one_line(value, longest=100)


def _author_email(value: str, _: Collection[str]) -> str:
    usable = len(value) <= 100 and _EMAIL.fullmatch(value)
    return "" if usable else "an address such as ada@example.com, of at most 100 characters"


def _one_line(value: str, *, longest: int) -> str:
    if len(value) > longest or value != value.strip() or any(map(_unprintable, value)):
        return f"one line of at most {longest} characters, with no space at its ends"
    return ""


def _unprintable(character: str) -> bool:
    return (
        unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} or character in "\ufffe\uffff"
    )


RULES: dict[str, Rule] = {
    "project_name": _project_name,
    "package_name": _package_name,
    "description": _description,
    "author_name": _author_name,
    "author_email": _author_email,
}


def complaint(question: str, value: str, *, reserved: Collection[str]) -> str:
    """What was expected of the answer to `question`, or the empty string when `value` does."""
    rule = RULES.get(question)
    return rule(value, reserved) if rule else ""
