"""Random files that a user and a template change, line by line, and what a merge of them must hold.

Each line of a file has a name of its own, and each change leaves a mark, so that a lost, a doubled
or a moved line is seen. A history depends only on its number.
"""

import re
import subprocess
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from mlscaffold.updating.resolvers import settling
from mlscaffold.updating.resolvers.clash import Solution
from mlscaffold.updating.resolvers.hunks import SIZE, Hunk, Part, parts_of
from mlscaffold.updating.resolvers.kinds import kind_of
from mlscaffold.updating.resolvers.meaning import require_valid

NAME = re.compile(r"[but]\d+n")
"""The name of a line of the base, or the mark of the user or the template."""


@dataclass(frozen=True)
class Language:
    """How to write files of one kind."""

    path: str
    header: Callable[[str], str]
    """A line that begins a part of the file, such as a function or a table."""
    lines: Sequence[Callable[[str], str]]
    """Lines of a part; one of them is chosen for all of it."""
    between: str
    """What is between two parts."""
    comment: str
    start: str = ""


@dataclass(frozen=True)
class History:
    """The three versions of a file."""

    path: str
    base: str
    ours: str
    theirs: str


LANGUAGES: Mapping[str, Language] = {
    one.path: one
    for one in (
        Language(
            path="some.py",
            header=lambda name: f"def {name}():\n",
            lines=[
                lambda name: f"    {name} = call(1)\n",
                lambda name: f"    {name}(1)\n",
                lambda name: f"    {name}: int = 1\n",
            ],
            between="\n\n",
            comment="  # {}",
        ),
        Language(
            path="imports.py",
            header=lambda name: f"from {name} import (\n",
            lines=[lambda name: f"    {name},\n"],
            between=")\n",
            comment="  # {}",
        ),
        Language(
            path="pyproject.toml",
            header=lambda name: f"[{name}]\n",
            lines=[lambda name: f"{name} = 1\n", lambda name: f'{name} = "text"\n'],
            between="\n",
            comment="  # {}",
        ),
        Language(
            path="lists.toml",
            header=lambda name: f"{name} = [\n",
            lines=[lambda name: f'    "{name}>=1,<3",\n', lambda name: f'    "{name}",\n'],
            between="]\n",
            comment="  # {}",
        ),
        Language(
            path="dvc.yaml",
            header=lambda name: f"{name}:\n",
            lines=[
                lambda name: f"  {name}: 1\n",
                lambda name: f"  - {name}\n",
                lambda name: f"  - key: {name}\n",
            ],
            between="\n",
            comment="  # {}",
        ),
        Language(
            path="Makefile",
            header=lambda name: f"{name}:\n",
            lines=[lambda name: f"\techo {name}\n"],
            between="\n",
            comment=" {}",
        ),
        Language(
            path="README.md",
            header=lambda name: f"## {name}\n\n",
            lines=[lambda name: f"- {name}\n", lambda name: f"A line of {name}\n"],
            between="\n",
            comment=" and {}",
        ),
        Language(
            path=".gitignore",
            header=lambda name: f"# {name}\n",
            lines=[lambda name: f"/{name}/\n"],
            between="\n",
            comment="x{}",
        ),
        Language(
            path="notes.txt",
            header=lambda name: f"= {name}\n",
            lines=[lambda name: f"{name}\n"],
            between="\n",
            comment=" {}",
        ),
    )
}


def history(number: int) -> History:
    """Return a file of some kind, with one to four changes on each side."""
    random = Random(number)
    language = LANGUAGES[random.choice([*LANGUAGES])]
    parts = _base(language, random)
    base = _text(language, parts)
    sides = []
    for letter in "ut":
        changed = [[*part] for part in parts]
        for count in range(random.randint(1, 4)):
            _change(language, changed, f"{letter}{number}{count}n", random)
        sides.append(_text(language, changed))
    return History(language.path, base, *sides)


def parts_by_git(one: History) -> list[Part]:
    """Return what git merges of the versions, and the hunks that it does not."""
    return parts_of(merged_by_git(one, "--diff3", f"--marker-size={SIZE}"))


def merged_by_git(one: History, *options: str) -> str:
    """Return the merged file with git's markers."""
    versions = {"ours": one.ours, "base": one.base, "theirs": one.theirs}
    with TemporaryDirectory() as folder:
        for name, text in versions.items():
            Path(folder, name).write_bytes(text.encode())
        command = ["git", "merge-file", "-p", *options, *versions]
        done = subprocess.run(command, cwd=folder, capture_output=True)
    return done.stdout.decode()


def merged(one: History, parts: Sequence[Part]) -> tuple[str | None, list[str]]:
    """Return the merged file, or `None` if a hunk is left, and the rules that settled others."""
    done = settling.settled(one.path, parts)
    text, rules = "", []
    for part in done:
        if isinstance(part, Hunk):
            return None, rules
        rules += part.rules if isinstance(part, Solution) else ()
        text += "".join(part.lines if isinstance(part, Solution) else part)
    return text, rules


def faults(one: History, text: str) -> list[str]:
    """Return what is wrong with a merged file."""
    found = []
    try:
        require_valid(kind_of(one.path), text)
    except ValueError as error:
        found.append(f"it is not valid: {error}")
    names = [Counter(NAME.findall(version)) for version in (one.base, one.ours, one.theirs, text)]
    for name in sorted({*names[1], *names[2]}):
        base, ours, theirs, count = (version[name] for version in names)
        if count != (min(ours, theirs) if base else max(ours, theirs)):
            found.append(f"{name} is there {count} times")
    scopes = [_scopes(one.path, version) for version in (one.ours, one.theirs, text)]
    for name, scope in scopes[2].items():
        if scope not in (scopes[0].get(name), scopes[1].get(name)):
            found.append(f"{name} has moved to {scope}")
    return found


def _base(language: Language, random: Random) -> list[list[str]]:
    """Return the parts of a file, each a list of lines, the header first."""
    names = (f"b{number}n" for number in range(100))
    parts = []
    for _ in range(random.randint(1, 3)):
        line = random.choice(language.lines)
        part = [language.header(next(names))]
        parts.append([*part, *(line(next(names)) for _ in range(random.randint(1, 5)))])
    return parts


def _text(language: Language, parts: Sequence[Sequence[str]]) -> str:
    end = language.between if not language.between.isspace() else ""
    texts = ["".join(part) for part in parts]
    return language.between.join(texts) + end


def _change(language: Language, parts: list[list[str]], mark: str, random: Random) -> None:
    """Change a part: a line's value, comment or layout, a new line or part, or a line less."""
    part = random.choice(parts)
    place = random.randrange(1, len(part))
    like = next((one for one in language.lines if _is_like(one, part[1])), language.lines[0])
    kind = random.choice(["value", "comment", "layout", "line", "last line", "part", "removal"])
    if kind == "value" and ">=1," in part[place]:
        part[place] = part[place].replace(">=1,", f">={random.randint(2, 5)},")
    elif kind == "value" and re.search(r"\b1\b", part[place]):
        part[place] = re.sub(r"\b1\b", f"'{mark}'", part[place])
    elif kind == "layout" and "call(" in part[place]:
        part[place] = re.sub(r"call\((.*?)\)", r"call(\n        \1,\n    )", part[place])
    elif kind in ("value", "comment", "layout"):
        part[place] = part[place].rstrip("\n") + language.comment.format(mark) + "\n"
    elif kind == "line":
        part.insert(place, like(mark))
    elif kind == "last line":
        part.append(like(mark))
    elif kind == "part":
        parts.insert(random.randint(0, len(parts)), [language.header(mark), like(mark)])
    elif len(part) > 2:
        del part[place]


def _is_like(line: Callable[[str], str], other: str) -> bool:
    return NAME.sub("", line("b0n")) == NAME.sub("", other)


def _scopes(path: str, text: str) -> dict[str, str]:
    """Return the header above each name of a line, by the name."""
    scope, found = "", {}
    header = re.escape(LANGUAGES[path].header("b0n").rstrip("\n")).replace("b0n", NAME.pattern)
    for line in text.split("\n"):
        names = NAME.findall(line)
        if names and re.fullmatch(header, line):
            scope = names[0]
        found |= dict.fromkeys(names, scope)
    return found
