"""Files of a working tree: what they are, and how one is put in place or taken away in one step."""

import errno
import hashlib
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path


def digest(file: Path) -> str:
    """A digest of a file's kind, mode and content; empty where there is none, or a folder."""
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
    """The digest of a file below `top`; empty where a link leads to it, which is elsewhere."""
    is_behind = any((top / parent).is_symlink() for parent in parents(path))
    return "" if is_behind else digest(top / path)


def swap(top: Path, path: str, new: Path | None, *, old: str, aside: Path) -> bool:
    """Puts `new`, or nothing, in the place of a file whose digest is `old`; tells whether it could.

    It could not where the file has another digest. What is there is moved `aside` before it is
    looked at, and nothing is ever put over a file: what is saved meanwhile, at any instant, stays.
    """
    file = top / path
    if digest_in(top, path) != old:
        return False
    with suppress(FileExistsError, FileNotFoundError, NotADirectoryError):
        if old:
            _move_away(file, aside)
        if old and digest(aside) != old:
            place(aside, file)
            return False
        if new:
            place(new, file)
        return True
    return False


def place(source: Path, file: Path) -> None:
    """Moves a file, or a symbolic link, to its place; raises FileExistsError if one is there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, file, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:
        # It lies on another disk, or belongs to another user.
        copy(source, beside(file))
        os.link(beside(file), file, follow_symlinks=False)
        beside(file).unlink()
    source.unlink()


def _move_away(file: Path, aside: Path) -> None:
    """Moves a file out of its place: in one step, but for another disk."""
    aside.parent.mkdir(parents=True, exist_ok=True)
    try:
        file.replace(aside)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copy(file, aside)
        file.unlink()


def remove_empty_above(top: Path, path: str) -> None:
    """Removes the folders that are empty without a file."""
    for parent in parents(path):
        remove_empty(top / parent)


def remove_empty(folder: Path) -> None:
    """Removes a folder unless there is something in it, or it is none."""
    try:
        folder.rmdir()
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT, errno.ENOTDIR):
            raise


def copy(source: Path, target: Path) -> None:
    """Copies a file, or a symbolic link, with its mode and times."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target, follow_symlinks=False)


def beside(file: Path) -> Path:
    """Where the copy of a file lies, beside its place, before it gets there."""
    return file.with_name(f".{file.name}.mlscaffold")


def is_folder(path: Path) -> bool:
    """Whether it is a folder, and no link to one."""
    return path.is_dir() and not path.is_symlink()


def is_folder_in(top: Path, path: str) -> bool:
    """Whether it is a folder, and lies behind no link."""
    return all(is_folder(top / above) for above in (path, *parents(path)))


def parents(path: str) -> list[str]:
    """The folders above a relative path, the nearest first."""
    return [parent.as_posix() for parent in Path(path).parents][:-1]


def in_the_way(top: Path, path: str, *, going: set[str]) -> str:
    """What stands where a new file will be, or above it, and is not going; empty for nothing."""
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
    """Waits until a file or a folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
