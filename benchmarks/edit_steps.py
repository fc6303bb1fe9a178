"""The steps of which an edit of a project consists: what each changes, and where."""

import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, reduce
from pathlib import Path


class Misplaced(ValueError):
    """The text that an edit changes is not there."""


@dataclass(frozen=True)
class Files:
    """The texts of a project by path."""

    texts: Mapping[str, str]
    origins: Mapping[str, str] = field(default_factory=dict)
    """By path, where a file was before it was moved."""


Step = Callable[[Files], Files]


class Edit:
    """A change that a person makes at once: its name, and what it does to files."""

    def __init__(self, name: str, *steps: Step) -> None:
        self.name = name
        self.steps = steps

    def apply(self, files: Files) -> Files:
        """Return the files after the edit; raise Misplaced if it does not fit them."""
        return reduce(lambda edited, step: step(edited), self.steps, files)


def replace(path: str, pattern: str, new: str) -> Step:
    """Replace the first match of a pattern, whose `^` and `$` are those of a line."""

    def step(files: Files) -> Files:
        text = re.sub(pattern, new, files.texts.get(path, ""), count=1, flags=re.MULTILINE)
        if text == files.texts.get(path, ""):
            raise Misplaced(f"{path}: {pattern}")
        return Files({**files.texts, path: text}, files.origins)

    return step


def after(path: str, pattern: str, lines: str) -> Step:
    """Write lines after the first line that matches."""
    return replace(path, f"^.*(?:{pattern}).*\n", rf"\g<0>{lines}\n")


def before(path: str, pattern: str, lines: str) -> Step:
    """Write lines before the first line that matches."""
    return replace(path, f"^.*(?:{pattern}).*\n", rf"{lines}\n\g<0>")


def append(path: str, lines: str) -> Step:
    """Write lines at the end of a file."""
    return replace(path, r"\n\Z", f"\n{lines}\n")


def comment(path: str, pattern: str, text: str) -> Step:
    """Write a comment at the end of the first line that matches."""
    return replace(path, f"^.*(?:{pattern}).*$", rf"\g<0>  # {text}")


def write(path: str, text: str) -> Step:
    """Write a new file."""
    return lambda files: Files({**files.texts, path: text}, files.origins)


def remove(path: str) -> Step:
    """Delete a file."""

    def step(files: Files) -> Files:
        _require(files, path)
        texts = {name: text for name, text in files.texts.items() if name != path}
        return Files(texts, files.origins)

    return step


def move(path: str, to: str) -> Step:
    """Rename a file."""

    def step(files: Files) -> Files:
        _require(files, path)
        texts = {to if name == path else name: text for name, text in files.texts.items()}
        return Files(texts, {**files.origins, to: path})

    return step


def reformat(path: str, *, line_length: int) -> Step:
    """Format a Python file with another length of lines, which also stands for another style."""

    def step(files: Files) -> Files:
        _require(files, path)
        text = formatted(files.texts[path], line_length)
        return Files({**files.texts, path: text}, files.origins)

    return step


@cache
def formatted(text: str, line_length: int) -> str:
    """Return Python code as ruff formats it."""
    ruff = [str(Path(sys.executable).parent / "ruff"), "format", "--isolated", "--quiet"]
    options = ["--line-length", str(line_length), "-"]
    done = subprocess.run([*ruff, *options], input=text, capture_output=True, text=True, check=True)
    return done.stdout


def _require(files: Files, path: str) -> None:
    if path not in files.texts:
        raise Misplaced(path)
