"""Add files to a project, and change files of it: all of that, or none after an error or a crash.

1. The new content and a journal are written to a folder in the project.
2. Each old file is moved there, and the new one is put in its place, as an update does.
3. The folder is removed, the journal first. While there is a journal, the next addition or update
   begins with undoing what it describes.

No file that has changed in the meantime is replaced or removed. Git is not needed, and its index
is left alone.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import AdditionStateError, ChangedMeanwhileError, ConcurrentUpdateError
from ..repository import files, git

_STATE = ".mlscaffold-add"


def is_interrupted(top: Path) -> bool:
    """Return whether an addition to a project is running or was interrupted."""
    return os.path.lexists(top / _STATE)


@contextmanager
def locked(top: Path) -> Generator[None]:
    """Keep other additions out of a project, and undo one that was interrupted.

    Raises ConcurrentUpdateError if another is running. The lock ends with the process.
    """
    descriptor = os.open(top, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConcurrentUpdateError(top) from error
        _undo(top)
        yield
    finally:
        os.close(descriptor)


def write(top: Path, contents: Mapping[str, bytes], *, before: Mapping[str, str]) -> None:
    """Write files by path, below `top`; if that fails, restore everything and raise the error.

    `before` has the digests of the files that are replaced. The caller has the lock.
    """
    state = top / _STATE
    try:
        for path, content in contents.items():
            new = state / "new" / path
            new.parent.mkdir(parents=True, exist_ok=True)
            new.write_bytes(content)
            if before.get(path):
                shutil.copymode(top / path, new)
        _write_journal(top, contents, before)
        for path in contents:
            _put(top, path, old=before.get(path, ""))
    except BaseException:
        _undo(top)
        raise
    _remove(state)


def _put(top: Path, path: str, *, old: str) -> None:
    """Put a new file in its place; raise ChangedMeanwhileError if the old one has changed."""
    state = top / _STATE
    if not files.swap(top, path, state / "new" / path, old=old, aside=state / "old" / path):
        raise ChangedMeanwhileError(path)


def _write_journal(top: Path, contents: Mapping[str, bytes], before: Mapping[str, str]) -> None:
    state = top / _STATE
    above = {folder for path in contents for folder in files.parents(path)}
    journal = {
        "files": {path: files.digest(state / "new" / path) for path in contents},
        "folders": sorted((one for one in above if not (top / one).exists()), reverse=True),
        "replaced": sorted(path for path in contents if before.get(path)),
    }
    draft = state / "draft"
    draft.write_text(json.dumps(journal))
    files.sync(draft)
    draft.replace(state / "journal.json")
    files.sync(state)


def _undo(top: Path) -> None:
    """Take back what an unfinished addition has written; do nothing if there is none."""
    state = top / _STATE
    if is_interrupted(top):
        if journal := _read_journal(state):
            _restore(top, journal)
        _remove(state)


def _read_journal(state: Path) -> Mapping[str, Any]:
    """Return what an unfinished addition has recorded, empty if it had not got that far.

    Raises AdditionStateError unless it is what `write` leaves. A project may come from anybody, and
    its files must not say what is moved or written outside of it, or in `.git`.
    """
    if not files.is_folder(state) or any(path.is_symlink() for path in state.rglob("*")):
        raise AdditionStateError(state)
    file = state / "journal.json"
    if not file.exists():
        return {}
    try:
        journal = json.loads(file.read_bytes())
        paths = (*journal["files"], *journal["folders"], *journal["replaced"])
        is_ours = all(map(_is_inside, paths))
        is_ours &= all(digest.startswith("file ") for digest in journal["files"].values())
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        is_ours = False
    if not is_ours:
        raise AdditionStateError(state)
    return journal


def _is_inside(path: str) -> bool:
    """Return whether it is a path below the project, and none that git takes for its own."""
    parts = PurePosixPath(path).parts
    return bool(parts) and not {"/", "//", ".."} & {*parts} and not git.is_git_name(path)


def _restore(top: Path, journal: Mapping[str, Any]) -> None:
    state = top / _STATE
    for path, digest in journal["files"].items():
        old = state / "old" / path
        kept = old if path in journal["replaced"] and os.path.lexists(old) else None
        if files.digest_in(top, path) == digest:
            if kept or path not in journal["replaced"]:
                files.swap(top, path, kept, old=digest, aside=state / "gone" / path)
        elif kept and not files.blocking_path(top, path, going=set()):
            files.place(kept, top / path)
    for folder in journal["folders"]:
        if files.is_folder_in(top, folder):
            files.remove_empty(top / folder)


def _remove(state: Path) -> None:
    """Remove the state, the journal first: without one, it means nothing."""
    (state / "journal.json").unlink(missing_ok=True)
    shutil.rmtree(state, ignore_errors=True)
