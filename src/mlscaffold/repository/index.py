"""Git's index: which version of each file the next commit has. Written here as git writes it."""

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ..errors import ProjectError
from . import files
from .scratch import Entry
from .worktree import Worktree, names

# Mode, id and stage of a version; a path in conflict has several.
Line = tuple[str, str, str]
Lines = Mapping[str, tuple[Line, ...]]

# What our lock holds. One that is there while no update is at work was left by a crash.
_MARK = b"mlscaffold\n"


@contextmanager
def locked(worktree: Worktree, token: Path) -> Generator[None]:
    """Keeps git from writing the index while the block runs; takes over a lock that we have left.

    The lock is a link to `token`, so that it never is there without its content.
    """
    if not token.exists():
        token.write_bytes(_MARK)
    try:
        os.link(token, _lock(worktree))
    except FileExistsError as error:
        if not _is_ours(worktree):
            reason = f"git is at work in {worktree.top}, or was ended in the middle of it"
            raise ProjectError(f"{reason}: there is {_lock(worktree)}") from error
    try:
        yield
    finally:
        _lock(worktree).unlink(missing_ok=True)


def release(worktree: Worktree) -> None:
    """Removes a lock that we have left when we were ended."""
    if _is_ours(worktree):
        _lock(worktree).unlink()


def lines(worktree: Worktree, *, file: Path | None = None) -> dict[str, tuple[Line, ...]]:
    """The lines of the project's files in the index, or in another index file, by path."""
    env = {"GIT_INDEX_FILE": str(file or worktree.index)}
    listed = worktree.git("ls-files", "--stage", "-z", "--", worktree.prefix or ".", env=env)
    found: dict[str, tuple[Line, ...]] = {}
    for record in names(listed):
        fields, _, path = record.partition("\t")
        mode, id, stage = fields.split(" ")
        found[path] = (*found.get(path, ()), (mode, id, stage))
    return found


def others(worktree: Worktree, file: Path, paths: Mapping[str, object]) -> set[str]:
    """All that an index file says of other paths than these."""
    env = {"GIT_INDEX_FILE": str(file)}
    listed = names(worktree.git("ls-files", "--stage", "-v", "-z", "--", ".", env=env))
    return {record for record in listed if record.partition("\t")[2] not in paths}


def give(worktree: Worktree, file: Path, lines: Lines) -> None:
    """Gives each path these lines, and no other, in an index file; none there is an empty one."""
    lengths = {len(id) for several in lines.values() for _, id, _ in several}
    nothing: Line = ("0", "0" * max(lengths, default=40), "0")
    asked = b"".join(
        f"{mode} {id} {stage}\t".encode() + os.fsencode(path) + b"\0"
        for path, several in lines.items()
        for mode, id, stage in (nothing, *several)
    )
    env = {"GIT_INDEX_FILE": str(file)}
    worktree.git("update-index", "-z", "--index-info", stdin=asked, env=env)


def line(entry: Entry) -> Line:
    """The line that says it."""
    return entry.mode, entry.id, str(entry.stage)


def change(worktree: Worktree, copy: Path, *, to: Lines, where: Lines | None = None) -> None:
    """Gives the index these lines, all or only where it has those of `where`, by way of a copy."""
    found = lines(worktree)
    wanted = {
        path: several
        for path, several in to.items()
        if found.get(path, ()) != several and (not where or found.get(path, ()) == where[path])
    }
    if wanted:
        files.copy(worktree.index, copy)
        give(worktree, copy, wanted)
        install(worktree, copy)


def install(worktree: Worktree, file: Path) -> None:
    """Makes a file the index, in one step, under the lock."""
    files.sync(file)
    file.replace(worktree.index)


def _is_ours(worktree: Worktree) -> bool:
    try:
        return _lock(worktree).read_bytes() == _MARK
    except FileNotFoundError:
        return False


def _lock(worktree: Worktree) -> Path:
    return worktree.index.with_name(f"{worktree.index.name}.lock")
