"""What the files of a project tell about the answers that would give it."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate
from pathlib import PurePosixPath
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from .errors import GitError
from .rendering.components import Component
from .repository.scratch import Scratch
from .repository.worktree import Worktree

_REQUIREMENTS = re.compile(r"(.*/)?(requirements[^/]*\.(txt|in)|environment\.ya?ml)")
_LICENSE_FILES = re.compile(r"(LICEN[CS]E|COPYING)(\.(txt|md|rst))?", re.IGNORECASE)
_NAME = re.compile(r"\s*(?:- *)?[\"']?([A-Za-z0-9][A-Za-z0-9._-]*)")
# What the text of a licence begins with, or contains, by its identifier.
_LICENSE_TEXTS = {
    "mit": "Permission is hereby granted, free of charge",
    "apache-2.0": "Apache License",
    "bsd-3-clause": "endorse or promote products derived from",
}
_PYTHONS = tuple(f"3.{minor}" for minor in range(8, 30))
_NO_PACKAGES = {"tests", "test", "docs", "notebooks", "scripts", "configs", "data", "models"}


@dataclass(frozen=True, kw_only=True)
class Clues:
    """What the committed files of a project tell."""

    texts: Mapping[str, Sequence[str]]
    """By question, the answers that come into question, the most likely first."""
    paths: frozenset[str]
    dependencies: frozenset[str]

    def choice(self, choices: Mapping[str, Component]) -> str:
        """Return the choice of a question whose files, or else dependencies, are in the project.

        If there are none of any, that is the choice that brings nothing; "" if each brings some.
        """
        files = {name: set(one.files) for name, one in choices.items()}
        packages = {name: set(map(_package, one.dependencies)) for name, one in choices.items()}
        if not any(map(len, (*files.values(), *packages.values()))):
            return ""
        balance = {name: self._balance(_own(name, files)) for name in choices}
        declared = {name: len(_own(name, packages) & self.dependencies) for name in choices}
        for scores in (balance, declared):
            best = max(scores, key=lambda name: scores[name])
            if scores[best] > 0:
                return best
        return next((name for name in choices if not (files[name] or packages[name])), "")

    def _balance(self, patterns: Iterable[str]) -> int:
        """Return how many of the paths exist, less how many do not; `<...>` is any name."""
        globs = [translate(re.sub(r"<\w+>", "*", pattern)) for pattern in patterns]
        found = sum(any(re.match(glob, path) for path in self.paths) for glob in globs)
        return 2 * found - len(globs)


def read_clues(scratch: Scratch, worktree: Worktree) -> Clues:
    """Read what the project's HEAD holds; `scratch` must read its objects."""
    entries = scratch.entries(worktree.tree())
    read = {
        path: entry.id
        for path, entry in entries.items()
        if entry.mode.startswith("100")
        and (
            path in ("pyproject.toml", "README.md", ".python-version")
            or _REQUIREMENTS.fullmatch(path)
            or _LICENSE_FILES.fullmatch(path)
        )
    }
    contents = scratch.blobs(read.values())
    files = {path: contents[id].decode(errors="replace") for path, id in read.items()}
    pyproject = _toml(files.get("pyproject.toml", ""))
    poetry = _table(_table(pyproject, "tool"), "poetry")
    project = {**poetry, **_table(pyproject, "project")}
    name, email = _author(project) or _first_author(worktree)
    texts = {
        "project_name": [
            *(project.get("name"), _title(files.get("README.md", ""))),
            *(_remote(worktree), worktree.folder.name),
        ],
        "package_name": [*_packages(entries), _identifier(project.get("name"))],
        "description": [project.get("description")],
        "author_name": [name],
        "author_email": [email],
        "license": list(_licenses(project, files)),
        "python_version": list(_pythons(project, files.get(".python-version", ""))),
    }
    return Clues(
        texts={
            question: [text for text in found if isinstance(text, str) and text]
            for question, found in texts.items()
        },
        paths=frozenset(entries),
        dependencies=frozenset(map(_package, _dependencies(pyproject, project, files))),
    )


def _own(name: str, things: Mapping[str, set[str]]) -> set[str]:
    """Return what one choice brings and no other choice of its question."""
    others = (brought for other, brought in things.items() if other != name)
    return things[name].difference(*others)


def _package(requirement: str) -> str:
    """Return the normalized name of the package that a requirement names."""
    found = _NAME.match(requirement)
    return re.sub(r"[-_.]+", "-", found[1]).lower() if found else ""


def _toml(text: str) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text)
    except (RecursionError, ValueError):
        return {}


def _table(table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = table.get(key)
    return found if isinstance(found, dict) else {}


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dependencies(
    pyproject: Mapping[str, Any], project: Mapping[str, Any], files: Mapping[str, str]
) -> Iterator[str]:
    """Yield the requirements that a project declares, wherever it does."""
    groups = (_table(project, "optional-dependencies"), _table(pyproject, "dependency-groups"))
    listed = [project.get("dependencies"), *(one for group in groups for one in group.values())]
    for found in listed:
        yield from (one for one in _items(found) if isinstance(one, str))
    yield from _table(project, "dependencies")  # Poetry's
    for path, text in files.items():
        if _REQUIREMENTS.fullmatch(path):
            yield from text.splitlines()


def _author(project: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the name and the address of the first author that a pyproject.toml names."""
    for author in _items(project.get("authors")):
        if isinstance(author, dict):
            return str(author.get("name", "")), str(author.get("email", ""))
        if isinstance(author, str):
            name, _, email = author.partition("<")
            return name.strip(), email.strip(" >")
    return None


def _first_author(worktree: Worktree) -> tuple[str, str]:
    """Return the author of the first commit."""
    asked = ("log", "--max-parents=0", "--format=%an%x00%ae")
    authors = worktree.git(*asked, worktree.head).decode(errors="replace").splitlines()
    name, _, email = authors[-1].partition("\0")
    return name, email


def _title(readme: str) -> str:
    """Return the first heading of a README."""
    found = re.search(r"^# +(.+?)\s*$", readme, re.MULTILINE)
    return found[1] if found else ""


def _remote(worktree: Worktree) -> str:
    """Return the name of the repository that the remote `origin` has, unless it holds others."""
    try:
        url = worktree.git("config", "--get", "remote.origin.url").decode(errors="replace")
    except GitError:
        return ""
    name = re.split(r"[/:\\]", url.strip().rstrip("/"))[-1].removesuffix(".git")
    return "" if worktree.prefix else name


def _packages(paths: Iterable[str]) -> list[str]:
    """Return the import packages: those in src/, or else those at the top."""
    found: dict[str, list[str]] = {"src/": [], "": []}
    for path in sorted(paths):
        folder, _, file = path.rpartition("/")
        parent, name = str(PurePosixPath(folder).parent), PurePosixPath(folder).name
        parent = {"src": "src/", ".": ""}.get(parent, "none")
        if file == "__init__.py" and parent in found and name not in _NO_PACKAGES:
            found[parent].append(name)
    if "src" in found[""]:  # src/ is itself the package
        return []
    return found["src/"] or found[""]


def _identifier(name: Any) -> str:
    return re.sub(r"[-.]+", "_", name).lower() if isinstance(name, str) else ""


def _licenses(project: Mapping[str, Any], files: Mapping[str, str]) -> Iterator[str]:
    """Yield the licence's identifier; `proprietary` if the project has no licence."""
    named = project.get("license")
    named = named.get("text") if isinstance(named, dict) else named
    if isinstance(named, str):
        yield "proprietary" if named.startswith("LicenseRef-") else named.lower()
    texts = [text for path, text in files.items() if _LICENSE_FILES.fullmatch(path)]
    for text in texts:
        for identifier, phrase in _LICENSE_TEXTS.items():
            if phrase in " ".join(text.split()):
                yield identifier
    if not (named or texts):
        yield "proprietary"


def _pythons(project: Mapping[str, Any], pinned: str) -> Iterator[str]:
    """Yield the versions of Python that a project allows, a pinned one first."""
    if found := re.match(r"\s*(3\.\d+)", pinned):
        yield found[1]
    try:
        allowed = SpecifierSet(str(project.get("requires-python") or "<0"))
    except InvalidSpecifier:
        return
    yield from (version for version in _PYTHONS if allowed.contains(version))
