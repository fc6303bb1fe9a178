"""What was computed before, in a folder of the user: bounded, and safe for several processes.

An entry is one file, which is written aside and renamed. Its first line is a digest of its name and
its content: one that is torn, changed or renamed is not used. Nothing here raises an error of the
disk: where a folder can't be used, everything is computed again.
"""

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkstemp

from ..errors import SettingError

DIR, SIZE = "MLSCAFFOLD_CACHE_DIR", "MLSCAFFOLD_CACHE_MIB"
DEFAULT_MIB = 100

_FOLDER = "renders"
_NEW = ".new-"
_BLOCK = 4096
_READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
_ABANDONED_AFTER_S = 3600
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True)
class DiskCache:
    """Entries by key, of which the least recently used are removed once they take too much."""

    folder: Path
    max_bytes: int

    def load(self, key: str) -> bytes | None:
        """Return the content of an entry, or `None`."""
        file = self._file(key)
        try:
            if not self._is_private():
                return None
            with os.fdopen(os.open(file, _READING), "rb") as entry:
                status = os.fstat(entry.fileno())
                if status.st_size > self.max_bytes or not _is_ours(status, stat.S_ISREG):
                    return None
                found, content = entry.readline().strip(), entry.read()
            if found != _digest(file.name, content):
                return None
            os.utime(file)
        except OSError:
            return None
        return content

    def save(self, key: str, content: bytes) -> None:
        """Keep an entry, if that is possible."""
        file = self._file(key)
        content = _digest(file.name, content) + b"\n" + content
        if len(content) > self.max_bytes:
            return
        with suppress(OSError):
            self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)
            if self._is_private():
                self._write(file, content)
                self._evict()

    def _file(self, key: str) -> Path:
        return self.folder / hashlib.sha256(key.encode()).hexdigest()

    def _is_private(self) -> bool:
        """Return whether the folder is the user's, and nobody else can write to it."""
        return _is_ours(self.folder.lstat(), stat.S_ISDIR)

    def _write(self, file: Path, content: bytes) -> None:
        descriptor, name = mkstemp(prefix=_NEW, dir=self.folder)
        try:
            with os.fdopen(descriptor, "wb") as new:
                new.write(content)
            Path(name).replace(file)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise

    def _evict(self) -> None:
        """Remove the entries used longest ago until the others fit."""
        size = 0
        for used, needed, name in sorted(self._entries(), reverse=True):
            size += needed
            is_abandoned = name.startswith(_NEW) and used < time.time() - _ABANDONED_AFTER_S
            if size > self.max_bytes or is_abandoned:
                with suppress(OSError):
                    (self.folder / name).unlink()

    def _entries(self) -> Iterator[tuple[float, int, str]]:
        """Yield when each entry was used, its size on the disk and its name."""
        with os.scandir(self.folder) as entries:
            for entry in entries:
                with suppress(OSError):  # Another process has removed it.
                    status = entry.stat(follow_symlinks=False)
                    yield status.st_mtime, max(_BLOCK, status.st_size), entry.name


def open_disk_cache() -> DiskCache | None:
    """Return the user's cache; `None` if it may take no space, or has no place.

    Raises SettingError if the environment sets a size that is none.
    """
    text = os.environ.get(SIZE, "") or str(DEFAULT_MIB)
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise SettingError(f"{SIZE} must be a whole number of MiB, got {text[:60]!r}")
    if not int(text):
        return None
    place = _place()
    return DiskCache(place / _FOLDER, int(text) * 2**20) if place else None


def _place() -> Path | None:
    """Return the user's folder for what can be made again; `None` if the user has no home."""
    import platformdirs

    try:
        if chosen := os.environ.get(DIR):
            return Path(chosen).expanduser().absolute()
        found = platformdirs.user_cache_path("mlscaffold", appauthor=False)
    except RuntimeError:
        return None
    # Older versions return it below `~`.
    return found if found.is_absolute() else None


def _is_ours(status: os.stat_result, is_kind: Callable[[int], bool]) -> bool:
    """Return whether it is of this kind and the user's, and nobody else can write to it."""
    is_closed = not status.st_mode & _WRITABLE_BY_OTHERS
    return is_kind(status.st_mode) and status.st_uid == os.geteuid() and is_closed


def _digest(name: str, content: bytes) -> bytes:
    digest = hashlib.sha256(name.encode())
    digest.update(content)
    return digest.hexdigest().encode()
