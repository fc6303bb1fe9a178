"""Paths of the stages' outputs, relative to the project's root, and functions that write them.

Files and folders are replaced atomically: a killed process leaves the old content or the new.
"""

import ctypes
import errno
import os
import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from .errors import ProjectError

CONFIGS = Path("configs")
PARAMS = Path("params.yaml")
RAW = Path("data/raw/dataset.parquet")
PROCESSED = Path("data/processed")
CHECKPOINTS = Path("models/checkpoints")
BUNDLE = Path("models/bundle")
CODE = Path("models/code")
REPORTS = Path("reports")
HISTORY_CSV = REPORTS / "history.csv"
TRACE = REPORTS / "trace.json"
METRICS_JSON = REPORTS / "metrics.json"
MODEL_CARD = REPORTS / "model_card.md"

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
"""Constants of renameat2(2)."""


def require(path: Path, *, stage: str) -> Path:
    """Return `path` if it exists.

    Raises:
        ProjectError: It does not; the message names the stage that makes it.
    """
    if not path.exists():
        raise ProjectError(f"{path} is missing; run `make {stage}` first, or `make repro` for all")
    return path


@contextmanager
def new_file(path: Path) -> Generator[Path]:
    """Yield the path of a file to write; when the block ends, it replaces `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    try:
        yield new
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


@contextmanager
def new_folder(folder: Path, *, keep_others: bool = False) -> Generator[Path]:
    """Yield an empty folder to fill; when the block ends, it replaces `folder`.

    With `keep_others`, entries of `folder` with other names are kept. Files get the umask's mode,
    regardless of what wrote them. Only one process at a time may replace a folder.
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
    """Replace `folder` by `new`; the old content is removed, or left at `new`.

    This is atomic on Linux's local file systems. Elsewhere, as on NFS, `folder` is missing
    for a moment.
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
    """Swap two folders atomically; return `False` if the system cannot."""
    # The standard library has no function for renameat2.
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" else None
    paths = _AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other)
    return rename is not None and rename(*paths, _RENAME_EXCHANGE) == 0


def _set_modes(folder: Path) -> None:
    """Give a folder's files the permissions of the folder, which has the umask's mode."""
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
    """Create a hard link, or a copy if the file system does not support links."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)
