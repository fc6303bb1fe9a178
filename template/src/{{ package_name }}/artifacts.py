"""Files and folders that appear whole: a process that is killed leaves the old one or the new."""

import ctypes
import errno
import os
import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
"""Constants of Linux, see renameat2(2)."""


@contextmanager
def new_file(path: Path) -> Generator[Path]:
    """Give the path of a file to write, which takes the place of `path` at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    try:
        yield new
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


@contextmanager
def new_folder(folder: Path, *, keep_others: bool = False) -> Generator[Path]:
    """Give an empty folder to fill, which takes the place of `folder` at the end.

    With `keep_others`, what lies in `folder` under other names stays there. Files get the mode that
    the umask asks for, whatever wrote them. One process at a time may do this to a folder.
    """
    if folder.is_symlink():
        folder = folder.resolve()
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    new = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        yield new
        _set_modes(new)
        if keep_others and folder.exists():
            _link_others(folder, new)
        replace_folder(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def replace_folder(new: Path, folder: Path) -> None:
    """Put `new` in the place of `folder`; what was there is removed, or left at `new`.

    It is one step on Linux's own file systems. Elsewhere, as on NFS, there is an instant between
    two in which there is neither.
    """
    if _exchange(new, folder):
        return
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step; return whether that could be done."""
    # Python has no call for it.
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" else None
    paths = _AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other)
    return rename is not None and rename(*paths, _RENAME_EXCHANGE) == 0


def _set_modes(folder: Path) -> None:
    """Let read a folder's files who may read the folder, which has the umask's mode."""
    mode = folder.stat().st_mode & 0o666
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(mode)


def _link_others(folder: Path, new: Path) -> None:
    for path in folder.iterdir():
        target = new / path.name
        if target.is_file() and path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if target.exists():
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, target, symlinks=True, copy_function=_link)
        else:
            _link(path, target)


def _link(source: str | Path, target: str | Path) -> None:
    """Give a file a second name; a copy where it can have only one."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)
