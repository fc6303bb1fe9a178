"""Simulated users who edit a generated project at random and leave unique marks.

The edits of a seed depend only on the project's files, so that every tool gets the same work.
"""

import os
import random
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from .projects import commit, files_of, git

MARK = re.compile(rb"mark-\d+-\d+;")
_TEMPLATE_LINE = re.compile(rb"(?!files|database)\w+ line \d+")
# Paths at which a later release of the template adds a file.
_COMING = ("bin/run", "colour.txt", "guide/one.md", "src/extra.py", "src/toolbox.py")
_NAMES = ("notes", "ideas", "übung", "a b", "x-1", "Makefile", "-dash", "#hash")
_FOLDERS = ("", "src/", "docs/", "guide/", "own/", "src/store/", "tief/ß/")


@dataclass
class User:
    """A user who changes a committed project, and commits the changes."""

    project: Path
    seed: int
    chance: random.Random = field(init=False)
    marks: int = 0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    def work(self, edits: int) -> None:
        """Make some edits, then commit what belongs in git."""
        for _ in range(edits):
            self.chance.choice(_EDITS)(self)
        git(self.project, "add", "--update", ".")
        commit(self.project)

    def mark(self) -> str:
        """Return a unique word."""
        self.marks += 1
        return f"mark-{self.seed}-{self.marks};"

    def visible(self) -> list[str]:
        """Return the tracked files that git looks at, from the project's folder."""
        records = git(self.project, "ls-files", "-v", "-z", ".").split(b"\0")
        paths = [os.fsdecode(record[2:]) for record in records if record[:2] == b"H "]
        kept = [path for path in paths if path not in (".copier-answers.yml", ".cruft.json")]
        return sorted(path for path in kept if (self.project / path).is_file())

    def some_file(self) -> Path:
        """Return a visible file that is no link; the template's are more likely than the user's."""
        paths = [path for path in self.visible() if not (self.project / path).is_symlink()]
        return self.project / self.chance.choice(paths or self.new_file("text"))

    def new_path(self) -> str:
        """Return a path where no file exists."""
        while True:
            path = self.chance.choice(
                [
                    f"{self.chance.choice(_FOLDERS)}{self.chance.choice(_NAMES)}-{self.marks}.txt",
                    self.chance.choice(_COMING),
                ]
            )
            if self._is_free(path):
                return path
            self.marks += 1

    def new_file(self, text: str, *, path: str = "", tracked: bool = True) -> list[str]:
        """Write a file with a mark."""
        path = path or self.new_path()
        file = self.project / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"own file: {text} {self.mark()}\n")
        if tracked:
            git(self.project, "add", "--force", "--", f"./{path}")
        return [path]

    def _is_free(self, path: str) -> bool:
        file = self.project / path
        above = [self.project / parent for parent in list(Path(path).parents)[:-1]]
        return not os.path.lexists(file) and not any(
            parent.is_symlink() or parent.is_file() for parent in above
        )


def marks_of(files: dict[str, tuple[str, bytes]]) -> set[bytes]:
    """Return every mark in some files."""
    return {mark for _, content in files.values() for mark in MARK.findall(content)}


def tracked(project: Path) -> set[str]:
    """Return the tracked files without `skip-worktree` and `assume-unchanged` ones."""
    records = git(project, "ls-files", "-v", "-z", ".").split(b"\0")
    return {os.fsdecode(record[2:]) for record in records if record[:2] in (b"H ", b"M ")}


def lines_of(files: Iterable[tuple[str, bytes]]) -> set[bytes]:
    """Return the template's lines in some files, except those that depend on answers."""
    lines = (line.rstrip(b"\r") for _, one in files for line in one.split(b"\n"))
    return {line for line in lines if _TEMPLATE_LINE.fullmatch(line)}


def _insert(user: User) -> None:
    """Insert lines anywhere."""
    file = user.some_file()
    lines = file.read_bytes().split(b"\n")
    for _ in range(user.chance.choice([1, 1, 3])):
        lines.insert(user.chance.randrange(len(lines)), user.mark().encode())
    file.write_bytes(b"\n".join(lines))


def _replace(user: User) -> None:
    """Change lines of the template."""
    file = user.some_file()
    lines = file.read_bytes().split(b"\n")
    first = user.chance.randrange(len(lines))
    for number in range(first, min(len(lines) - 1, first + user.chance.choice([1, 1, 2, 6]))):
        lines[number] += b" " + user.mark().encode()
    file.write_bytes(b"\n".join(lines))


def _remove_lines(user: User) -> None:
    file = user.some_file()
    lines = file.read_bytes().split(b"\n")
    first = user.chance.randrange(len(lines))
    kept = lines[:first] + lines[first + user.chance.choice([1, 2, 8]) :]
    file.write_bytes(b"\n".join(kept))


def _rewrite(user: User) -> None:
    user.some_file().write_text(f"all new {user.mark()}\n")


def _add(user: User) -> None:
    user.new_file("tracked")


def _rename(user: User) -> None:
    file, path = user.some_file(), user.new_path()
    (user.project / path).parent.mkdir(parents=True, exist_ok=True)
    file.rename(user.project / path)
    git(user.project, "add", "--force", "--", f"./{path}")


def _move_folder(user: User) -> None:
    folders = sorted({path.split("/")[0] for path in user.visible() if "/" in path})
    target = user.project / f"moved-{user.marks}"
    if folders and not target.exists():
        (user.project / user.chance.choice(folders)).rename(target)
        paths = [path for path in files_of(target) if not path.endswith((".local", "/"))]
        if paths:
            names = [f"./{target.name}/{path}" for path in paths]
            git(user.project, "add", "--force", "--", *names)


def _delete(user: User) -> None:
    user.some_file().unlink()


def _binary(user: User) -> None:
    content = bytes(user.chance.randrange(256) for _ in range(200)) + user.mark().encode() + b"\0"
    user.some_file().write_bytes(content)


def _mode(user: User) -> None:
    file = user.some_file()
    file.chmod(file.stat().st_mode ^ 0o111)


def _crlf(user: User) -> None:
    file = user.some_file()
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n") + user.mark().encode())


def _link(user: User) -> None:
    """Create a link, or replace a file by one."""
    file = user.some_file() if user.chance.random() < 0.5 else user.project / user.new_path()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    file.symlink_to(f"nowhere/{user.mark()}")
    git(user.project, "add", "--force", "--", f"./{file.relative_to(user.project)}")


def _folder_for_file(user: User) -> None:
    file = user.some_file()
    file.unlink()
    user.new_file("inside", path=f"{file.relative_to(user.project)}/inner.txt")


def _file_for_folder(user: User) -> None:
    folders = sorted({path.rpartition("/")[0] for path in user.visible() if "/" in path})
    folders = [folder for folder in folders if not (user.project / folder).is_symlink()]
    if folders:
        path = user.chance.choice(folders)
        if not (files_of(user.project / path).keys() - set(_below(user, path))):
            for inner in _below(user, path):
                (user.project / path / inner).unlink()
            git(user.project, "add", "--update", ".")
            _remove_empty(user.project / path)
            user.new_file("was a folder", path=path)


def _ignored(user: User) -> None:
    name = user.chance.choice(["secret.local", "cache/big", "src/deep.local"])
    if user._is_free(name):
        user.new_file("ignored", path=name, tracked=False)


def _ignored_and_tracked(user: User) -> None:
    user.new_file("kept", path=f"kept-{user.marks}.local")


def _ignore_what_comes(user: User) -> None:
    """Create an ignored file where a later release adds one."""
    path = user.chance.choice(_COMING)
    ignore = user.project / ".gitignore"
    if user._is_free(path) and ignore.is_file() and not ignore.is_symlink():
        ignore.write_bytes(ignore.read_bytes() + f"/{path}\n".encode())
        user.new_file("ignored", path=path, tracked=False)


def _untracked(user: User) -> None:
    user.new_file("untracked", tracked=False)


def _hide(user: User) -> None:
    """Change a file after hiding it from git by a flag; the change must stay."""
    file = user.some_file()
    path = f"./{file.relative_to(user.project)}"
    git(user.project, "add", "--force", "--", path)
    flag = user.chance.choice(["--skip-worktree", "--assume-unchanged"])
    git(user.project, "update-index", flag, "--", path)
    with file.open("ab") as opened:
        opened.write(f"hidden {user.mark()}\n".encode())


def _show(user: User) -> None:
    """Remove the flag of a hidden file."""
    records = git(user.project, "ls-files", "-v", "-z", ".").split(b"\0")
    paths = [record[2:] for record in records if record[:1] in (b"S", b"h", b"s")]
    for flag in ("--no-skip-worktree", "--no-assume-unchanged"):
        for path in paths:
            git(user.project, "update-index", flag, "--", os.fsdecode(path))


def _branch(user: User) -> None:
    git(user.project, "checkout", "--quiet", "-b", f"branch-{user.mark()[:-1]}")


def _below(user: User, folder: str) -> list[str]:
    start = f"{folder}/"
    return [path.removeprefix(start) for path in user.visible() if path.startswith(start)]


def _remove_empty(folder: Path) -> None:
    for inner in sorted(folder.rglob("*"), reverse=True):
        inner.rmdir()
    folder.rmdir()


# Common edits are more likely.
_EDITS: tuple[Callable[[User], None], ...] = (
    *(_insert, _replace) * 5,
    *(_remove_lines, _add, _rename, _delete, _untracked, _ignored) * 2,
    *(_rewrite, _move_folder, _binary, _mode, _crlf, _link, _folder_for_file, _file_for_folder),
    *(_ignored_and_tracked, _ignore_what_comes, _hide, _show, _branch),
)
