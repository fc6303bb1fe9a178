"""Errors that a user can fix. A stage that raises one ends with a one-line message."""

import errno
from collections.abc import Generator
from contextlib import contextmanager

_WITHOUT_A_NAME = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""Errors of writes to an open file, which do not contain its name."""


class ProjectError(Exception):
    """A problem outside the code; the message says what it is and what to do."""


class FileError(ProjectError):
    """A file or folder cannot be read or written."""


@contextmanager
def file_errors() -> Generator[None]:
    """Translate an OSError of a file into a FileError; others, as of sockets, are unchanged."""
    try:
        yield
    except OSError as error:
        named = [str(name) for name in (error.filename, error.filename2) if name is not None]
        if not named and error.errno not in _WITHOUT_A_NAME:
            raise
        message = ": ".join(filter(None, (" -> ".join(named), error.strerror)))
        raise FileError(message) from error
