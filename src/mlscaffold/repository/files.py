"""Files of a working tree: read their state, and replace or remove one in one step."""

import errno
import fcntl
import hashlib
import os
import shutil
import stat
import sys
from contextlib import suppress
from pathlib import Path


def digest(file: Path) -> str:
    """Return a digest of a file's kind, mode and content; empty if there is no file."""
    try:
        status = file.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    if stat.S_ISLNK(status.st_mode):
        return f"link {file.readlink()}"
    if not stat.S_ISREG(status.st_mode):
        return ""
    executable = "x" if status.st_mode & stat.S_IXUSR else "-"
    return f"file {executable} {hashlib.sha256(file.read_bytes()).hexdigest()}"


def digest_in(top: Path, path: str) -> str:
    """Return the digest of a file below `top`; empty if a link leads to it."""
    is_behind = any((top / parent).is_symlink() for parent in parents(path))
    return "" if is_behind else digest(top / path)


def swap(top: Path, path: str, new: Path | None, *, old: str, aside: Path) -> bool:
    """Replace a file whose digest is `old` by `new`, or remove it; return whether it was done.

    It is not done if the file has another digest, or if a program has it open for writing. The
    file is moved `aside` before it is checked, and no file is ever overwritten: what an editor
    saves meanwhile is kept.
    """
    file = top / path
    if digest_in(top, path) != old:
        return False
    with suppress(FileExistsError, FileNotFoundError, NotADirectoryError):
        if old:
            _move_away(file, aside)
        if old and (is_being_written(aside) or digest(aside) != old):
            place(aside, file)
            return False
        if new:
            place(new, file)
        return True
    return False


def is_being_written(file: Path) -> bool:
    """Return whether a program has a file open for writing; false where that cannot be known.

    Linux grants a read lease (`F_SETLEASE` in fcntl(2)) only on a file that no one can write to.
    """
    if not sys.platform.startswith("linux") or not stat.S_ISREG(file.lstat().st_mode):
        return False
    with file.open("rb") as opened:
        try:
            fcntl.fcntl(opened, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(opened, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except OSError as error:
            return error.errno == errno.EAGAIN
    return False


def place(source: Path, file: Path) -> None:
    """Move a file or a symbolic link to its place; raise FileExistsError if one is there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, file, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:
        # It is on another disk, or belongs to another user.
        copy(source, staged(file))
        os.link(staged(file), file, follow_symlinks=False)
        staged(file).unlink()
    source.unlink()


def _move_away(file: Path, aside: Path) -> None:
    """Move a file to `aside`, in one step unless that is on another disk."""
    aside.parent.mkdir(parents=True, exist_ok=True)
    try:
        file.replace(aside)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copy(file, aside)
        file.unlink()


def remove_empty_above(top: Path, path: str) -> None:
    """Remove the folders above a path that are empty."""
    for parent in parents(path):
        remove_empty(top / parent)


def remove_empty(folder: Path) -> None:
    """Remove a folder if it exists and is empty."""
    try:
        folder.rmdir()
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT, errno.ENOTDIR):
            raise


def copy(source: Path, target: Path) -> None:
    """Copy a file or a symbolic link, with its mode and times."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target, follow_symlinks=False)


def staged(file: Path) -> Path:
    """Return the path beside a file to which its new version is copied first."""
    return file.with_name(f".{file.name}.mlscaffold")


def is_folder(path: Path) -> bool:
    """Return whether it is a folder, and not a link to one."""
    return path.is_dir() and not path.is_symlink()


def is_folder_in(top: Path, path: str) -> bool:
    """Return whether it is a folder, and behind no link."""
    return all(is_folder(top / above) for above in (path, *parents(path)))


def parents(path: str) -> list[str]:
    """Return the folders above a relative path, the nearest first."""
    return [parent.as_posix() for parent in Path(path).parents][:-1]


def blocking_path(top: Path, path: str, *, going: set[str]) -> str:
    """Return what is where a new file will be, or above it, and is not in `going`; else ""."""
    for parent in parents(path):
        above = top / parent
        if (above.is_symlink() or above.is_file()) and parent not in going:
            return parent
    file = top / path
    if is_folder(file):
        inside = (
            (Path(folder) / name).relative_to(top).as_posix()
            for folder, folders, files in os.walk(file)
            for name in (files if files or folders else ["."])
        )
        return next((found for found in inside if found not in going), "")
    return path if os.path.lexists(file) and path not in going else ""


def sync(path: Path) -> None:
    """Wait until a file or a folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
