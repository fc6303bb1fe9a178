"""Git's index: which version of each file the next commit has."""

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ..errors import GitLockError
from . import files
from .scratch import Entry
from .worktree import Worktree, names

# Mode, id and stage of a version; a path in conflict has several.
Line = tuple[str, str, str]
Lines = Mapping[str, tuple[Line, ...]]

# The content of our lock. If it exists while no update is running, a crash left it.
_MARK = b"mlscaffold\n"


@contextmanager
def locked(worktree: Worktree, token: Path) -> Generator[None]:
    """Keep git from writing the index while the block runs; take over a lock that we left.

    The lock is a link to `token`, so that it never exists without its content.
    """
    if not token.exists():
        token.write_bytes(_MARK)
    try:
        os.link(token, _lock(worktree))
    except FileExistsError as error:
        if not _is_ours(worktree):
            raise GitLockError(worktree.top, _lock(worktree)) from error
    try:
        yield
    finally:
        _lock(worktree).unlink(missing_ok=True)


def release_lock(worktree: Worktree) -> None:
    """Remove a lock that we left when we were killed."""
    if _is_ours(worktree):
        _lock(worktree).unlink()


def lines(worktree: Worktree, *, file: Path | None = None) -> dict[str, tuple[Line, ...]]:
    """Return the lines of the project's files in the index, or another index file, by path."""
    env = {"GIT_INDEX_FILE": str(file or worktree.index)}
    listed = worktree.git("ls-files", "--stage", "-z", "--", worktree.prefix or ".", env=env)
    found: dict[str, tuple[Line, ...]] = {}
    for record in names(listed):
        fields, _, path = record.partition("\t")
        mode, id, stage = fields.split(" ")
        found[path] = (*found.get(path, ()), (mode, id, stage))
    return found


def other_lines(worktree: Worktree, file: Path, paths: Mapping[str, object]) -> set[str]:
    """Return the lines of an index file for all other paths than these."""
    env = {"GIT_INDEX_FILE": str(file)}
    listed = names(worktree.git("ls-files", "--stage", "-v", "-z", "--", ".", env=env))
    return {record for record in listed if record.partition("\t")[2] not in paths}


def set_lines(worktree: Worktree, file: Path, lines: Lines) -> None:
    """Set each path's lines in an index file; a missing file is an empty index."""
    lengths = {len(id) for several in lines.values() for _, id, _ in several}
    nothing: Line = ("0", "0" * max(lengths, default=40), "0")
    asked = b"".join(
        f"{mode} {id} {stage}\t".encode() + os.fsencode(path) + b"\0"
        for path, several in lines.items()
        for mode, id, stage in (nothing, *several)
    )
    env = {"GIT_INDEX_FILE": str(file)}
    worktree.git("update-index", "-z", "--index-info", stdin=asked, env=env)


def line_of(entry: Entry) -> Line:
    """Return the index line of an entry."""
    return entry.mode, entry.id, str(entry.stage)


def update(worktree: Worktree, copy: Path, *, to: Lines, where: Lines | None = None) -> None:
    """Set lines of the index through a copy; with `where`, only lines that are still as there."""
    found = lines(worktree)
    wanted = {
        path: several
        for path, several in to.items()
        if found.get(path, ()) != several and (not where or found.get(path, ()) == where[path])
    }
    if wanted:
        files.copy(worktree.index, copy)
        set_lines(worktree, copy, wanted)
        install(worktree, copy)


def install(worktree: Worktree, file: Path) -> None:
    """Make a file the index, in one step, under the lock."""
    files.sync(file)
    file.replace(worktree.index)


def _is_ours(worktree: Worktree) -> bool:
    try:
        return _lock(worktree).read_bytes() == _MARK
    except FileNotFoundError:
        return False


def _lock(worktree: Worktree) -> Path:
    return worktree.index.with_name(f"{worktree.index.name}.lock")
