"""Folders of any depth, without recursion: a template may nest them too deep for it."""

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from tempfile import mkdtemp


def entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield every file, link and folder below a folder; skip what disappears meanwhile."""
    unread = [str(folder)]
    while unread:
        with suppress(OSError), os.scandir(unread.pop()) as found:
            for entry in found:
                yield entry
                if entry.is_dir(follow_symlinks=False):
                    unread.append(entry.path)


def remove(folder: Path) -> None:
    """Remove a folder of any depth; nested folders are moved up first, to keep paths short."""
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
    """Yield a new folder that is removed when the block ends."""
    folder = Path(mkdtemp(prefix="mlscaffold-", dir=within))
    try:
        yield folder
    finally:
        with suppress(OSError):
            remove(folder)
