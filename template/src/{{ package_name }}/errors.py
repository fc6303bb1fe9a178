"""What a user can do something about. A stage that raises one of these ends in one line."""

import errno
from collections.abc import Generator
from contextlib import contextmanager

_WITHOUT_A_NAME = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What writing to an open file ends in, which no longer knows its name."""


class ProjectError(Exception):
    """Something outside the code is not as it has to be; the message says what and what to do."""


class FileError(ProjectError):
    """A file or folder cannot be read or written."""


@contextmanager
def file_errors() -> Generator[None]:
    """Raise a FileError for an OSError of a file; another one, as of a socket, stays what it is."""
    try:
        yield
    except OSError as error:
        named = [str(name) for name in (error.filename, error.filename2) if name is not None]
        if not named and error.errno not in _WITHOUT_A_NAME:
            raise
        message = ": ".join(filter(None, (" -> ".join(named), error.strerror)))
        raise FileError(message) from error
