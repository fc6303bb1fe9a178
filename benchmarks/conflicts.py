"""Measure how many updates of a project need a hand, with mlscaffold and with other tools.

    python benchmarks/conflicts.py [--histories N] [--seed S] [--list]
        [--tools ours copier cruft git]

In each history a user has made 3 to 8 of the edits in natural_edits.py, and a release has 3 to 8 of
its changes to the template. Each tool updates the same projects to the same releases; `git` merges
a branch that holds what the releases render to. The columns:

clean       updates after which nothing is left to do: no conflict, no rejected hunk, no error
hunks       what is left to do per update: marked conflicts, rejected hunks, unmerged paths
lost        lines of the user that are in no file, between conflict markers and in rejects included
missing     lines of the release that are in no file either, and the tool does not name the file
broken      files without conflicts that no longer parse: Python, TOML, YAML
failed      updates that the tool gave up with an error

Lines count if their side added words to them. One is there if its file has this line, or a similar
one with the words that were added: it may have moved, be formatted anew, or hold what the other
side changed in it. A higher version stands for a pin, unless its side had lowered it. The lines of
a file that is gone are looked for in the whole project.
"""

import argparse
import ast
import os
import random
import re
import statistics
import subprocess
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from edit_steps import Edit, Files, Misplaced
from natural_edits import CHANGES, EDITS, NAME
from packaging.version import Version
from update_tools import IDENTITY, TOOLS, Bench, History, git, read, rendered

from mlscaffold.errors import MlscaffoldError
from mlscaffold.rendering.render_cache import open_render_cache

MARKED = re.compile(r"^<{7} .*?^>{7} [^\n]*$", re.MULTILINE | re.DOTALL)
REJECTED = re.compile(r"^@@ .*?(?=^@@ |\Z)", re.MULTILINE | re.DOTALL)
WORD = re.compile(r"[^\s,;:()\[\]{}\"'`]+")
PINNED = re.compile(r"(?:(?<=[<>])=?|(?<=[=~]=)|(?<=# v)|(?<=rev: v))\d+(?:\.\d+)*|@[0-9a-f]{40}")
SIMILAR = 0.6
"""How much two lines must have in common to be versions of one, as difflib measures it."""
COUNTED = "lost", "missing", "broken"


@dataclass(frozen=True)
class Line:
    """A line to which a side added words."""

    path: str
    text: str
    words: Counter[str]
    is_lowered: bool
    """Whether it is a pin that had a higher version before."""

    def is_in(self, files: Mapping[str, str]) -> bool:
        """Return whether the line is still there."""
        places = [name for name in (self.path, f"{self.path}.rej") if name in files]
        lines = [line for name in places or files for line in files[name].splitlines()]
        return self.text in lines or any(map(self.is_held_by, lines))

    def is_held_by(self, line: str) -> bool:
        """Return whether another line has what was added to this one."""
        if self.words <= Counter(WORD.findall(line)):
            return SequenceMatcher(None, self.text.strip(), line.strip()).ratio() > SIMILAR
        return not self.is_lowered and is_higher(line, self.text)


@dataclass(frozen=True)
class Outcome:
    """What an update left behind."""

    hunks: Mapping[str, Sequence[str]]
    """By path, each that is left to resolve."""
    lost: Sequence[Line]
    missing: Sequence[Line]
    broken: Sequence[str]
    error: str
    wall_s: float

    @property
    def is_clean(self) -> bool:
        """Whether nothing is left to do."""
        return not (self.hunks or self.error)


def main() -> None:
    """Print a table with a row for each tool."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=Raw)
    parser.add_argument("--histories", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tools", nargs="+", choices=TOOLS, default=list(TOOLS))
    parser.add_argument("--list", action="store_true", help="print what each update leaves to do")
    arguments = parser.parse_args()
    os.environ |= IDENTITY
    outcomes: dict[str, list[Outcome]] = {tool: [] for tool in arguments.tools}
    with opened(arguments.histories, arguments.seed) as bench:
        for tool in arguments.tools:
            for history in bench.histories:
                outcomes[tool].append(outcome(bench, tool, history))
                if arguments.list:
                    print_details(tool, history, outcomes[tool][-1])
    print(f"{len(EDITS)} kinds of edits, {len(CHANGES)} of changes, seed {arguments.seed}\n")
    print("| tool | updates | clean | hunks | lost | missing | broken | failed | s per update |")
    print("|---|---|---|---|---|---|---|---|---|")
    for tool in arguments.tools:
        print(row(tool, outcomes[tool]))


@contextmanager
def opened(count: int, seed: int) -> Generator[Bench]:
    """Yield the histories, and a folder to work in."""
    with TemporaryDirectory(prefix="mlscaffold-benchmark-") as place, open_render_cache() as cache:
        folder = Path(place).resolve()
        base = rendered(folder / "rendered" / NAME)
        yield Bench(folder, [history_of(base, number, seed) for number in range(count)], cache)


def history_of(base: Files, number: int, seed: int) -> History:
    """Return a history, the same one for each seed and number."""
    chance = random.Random(f"{seed}-{number}")
    edits, edited = chosen(EDITS, base, chance)
    changes, release = chosen(CHANGES, base, chance)
    return History(number, edits, changes, base, edited, release)


def chosen(among: Sequence[Edit], base: Files, chance: random.Random) -> tuple[list[Edit], Files]:
    """Return 3 to 8 edits that fit each other, and the files after them."""
    count, applied, files = chance.randint(3, 8), [], base
    for edit in chance.sample(among, len(among)):
        if len(applied) < count:
            with suppress(Misplaced):
                files = edit.apply(files)
                applied.append(edit)
    return applied, files


def outcome(bench: Bench, tool: str, history: History) -> Outcome:
    """Update a project of a history with a tool, and return what is left."""
    project = bench.project(tool, history)
    start, named, error = time.perf_counter(), set(), ""
    try:
        named = set(TOOLS[tool].update(bench, project, history))
    except (MlscaffoldError, subprocess.CalledProcessError) as failure:
        error = str(getattr(failure, "stderr", failure))
    wall_s = time.perf_counter() - start
    files = read(project)
    hunks = hunks_of(project, files)
    theirs = [one for one in added(history.base, history.release) if one.path not in named]
    return Outcome(
        hunks,
        lost=[one for one in added(history.base, history.edited) if not one.is_in(files)],
        missing=[one for one in theirs if not one.is_in(files)],
        broken=[path for path in files.keys() - hunks.keys() if not parses(path, files[path])],
        error=error,
        wall_s=wall_s,
    )


def added(before: Files, after: Files) -> Iterator[Line]:
    """Yield the lines that have words which the lines in their place had not."""
    for path, text in after.texts.items():
        origin = before.texts.get(after.origins.get(path, path), "")
        if text == origin:
            continue
        old = origin.splitlines()
        new = text.splitlines()
        for _, start, end, first, last in SequenceMatcher(None, old, new, False).get_opcodes():
            gone = Counter(WORD.findall("\n".join(old[start:end])))
            for line in new[first:last]:
                words = Counter(WORD.findall(line))
                if words - gone:
                    is_lowered = any(is_higher(one, line) for one in old[start:end])
                    yield Line(path, line, words - gone, is_lowered)
                gone -= words


def is_higher(line: str, other: str) -> bool:
    """Return whether two lines differ only in versions, none of which is lower than in `other`."""
    if PINNED.sub("", line) != PINNED.sub("", other):
        return False
    pairs = zip(versions(line), versions(other), strict=False)
    return any(map(PINNED.search, (line, other))) and all(one >= two for one, two in pairs)


def versions(line: str) -> list[Version]:
    """Return the versions that a line names; ids of commits are none."""
    found = (pin.lstrip("=") for pin in PINNED.findall(line))
    return [Version(pin) for pin in found if not pin.startswith("@")]


def hunks_of(project: Path, files: Mapping[str, str]) -> dict[str, list[str]]:
    """Return by path what is left to resolve in a project."""
    listed = git(project, "-c", "core.quotePath=off", "ls-files", "--unmerged")
    unmerged = {line.partition("\t")[2] for line in listed.splitlines()}
    hunks = {path: ["unmerged"] for path in unmerged}
    for path, text in files.items():
        pattern = REJECTED if path.endswith(".rej") else MARKED
        if found := pattern.findall(text):
            hunks[path] = found
    return hunks


def parses(path: str, text: str) -> bool:
    """Return whether a file of one of these kinds can be read."""
    readers: Mapping[str, Callable[[str], object]] = {
        ".py": ast.parse,
        ".toml": tomllib.loads,
        ".yaml": yaml.safe_load,
        ".yml": yaml.safe_load,
    }
    try:
        readers.get(Path(path).suffix, str)(text)
    except (SyntaxError, ValueError, yaml.YAMLError):
        return False
    return True


def row(tool: str, outcomes: Sequence[Outcome]) -> str:
    """Return a row of the table."""
    clean = sum(one.is_clean for one in outcomes) / len(outcomes)
    hunks = sum(len(found) for one in outcomes for found in one.hunks.values()) / len(outcomes)
    counts = [sum(len(getattr(one, name)) for one in outcomes) for name in COUNTED]
    failed = sum(bool(one.error) for one in outcomes)
    wall_s = statistics.median(one.wall_s for one in outcomes)
    figures = [len(outcomes), f"{clean:.0%}", f"{hunks:.2f}", *counts, failed, f"{wall_s:.2f}"]
    return f"| {tool} | {' | '.join(map(str, figures))} |"


def print_details(tool: str, history: History, left: Outcome) -> None:
    """Print what was done and what is left, if an update is not clean or has lost something."""
    if left.is_clean and not any(getattr(left, name) for name in COUNTED):
        return
    print(f"\n## {tool}, history {history.number} {left.error}")
    print("edits:", "; ".join(edit.name for edit in history.edits))
    print("changes:", "; ".join(edit.name for edit in history.changes))
    for path, found in left.hunks.items():
        print(f"{path}: {len(found)} to resolve", *found, sep="\n")
    for name in COUNTED:
        for one in getattr(left, name):
            print(f"{name}: {f'{one.path}: {one.text}' if isinstance(one, Line) else one}")
    sys.stdout.flush()


Raw = argparse.RawDescriptionHelpFormatter

if __name__ == "__main__":
    main()
