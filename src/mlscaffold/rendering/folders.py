"""Folders that a template fills: of any depth, where a recursion ends in an error."""

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from tempfile import mkdtemp


def entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Every file, link and folder in the folder and in those within, less what vanishes."""
    unread = [str(folder)]
    while unread:
        with suppress(OSError), os.scandir(unread.pop()) as found:
            for entry in found:
                yield entry
                if entry.is_dir(follow_symlinks=False):
                    unread.append(entry.path)


def remove(folder: Path) -> None:
    """Removes the folder: what is in a folder within is moved up first, so no path gets long."""
    names = (folder / f"{os.getpid()}-{number}" for number in count())
    while children := list(os.scandir(folder)):
        for child in children:
            if child.is_dir(follow_symlinks=False):
                for grandchild in list(os.scandir(child)):
                    Path(grandchild).rename(_unused(names))
                Path(child).rmdir()
            else:
                Path(child).unlink()
    folder.rmdir()


def _unused(names: Iterator[Path]) -> Path:
    return next(name for name in names if not os.path.lexists(name))


@contextmanager
def temporary(*, within: Path | None = None) -> Generator[Path]:
    """A new folder that goes when the block ends."""
    folder = Path(mkdtemp(prefix="mlscaffold-", dir=within))
    try:
        yield folder
    finally:
        with suppress(OSError):
            remove(folder)
