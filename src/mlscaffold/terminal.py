"""The standard streams: always open, able to take any text, and safe on a terminal."""

import io
import os
import sys
import unicodedata
from typing import Any

# Control and format characters (which turn the direction of a line), surrogates, line ends.
_ESCAPED = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def printable(text: str, *, keep: str = "") -> str:
    r"""Return the text with escapes such as `\x1b` for what a terminal interprets or can't show.

    Characters in `keep` are not escaped.
    """
    if text.isprintable():
        return text
    return "".join(
        ascii(one)[1:-1] if unicodedata.category(one) in _ESCAPED and one not in keep else one
        for one in text
    )


class _Terminal(io.TextIOWrapper):
    """A stream that escapes control characters, except tabs and line ends."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream.buffer, stream.encoding, errors=stream.errors, line_buffering=True)

    def write(self, text: str, /) -> int:
        return super().write(printable(text, keep="\t\n"))


def open_streams() -> None:
    """Make the three standard streams open, able to take any text, and safe for a terminal.

    Output for a program, on a stdout that is not a terminal, is not changed.
    """
    # If one is closed, the next file to be opened would take its number, and get the output.
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name) or os.fdopen(number, "w" if number else "r")
        stream.reconfigure(errors="backslashreplace" if number else "surrogateescape")
        setattr(sys, name, stream)
        # Kept alive, since it would close the stream when it is collected.
        setattr(sys, f"__{name}__", stream)
    sys.stderr = _Terminal(sys.stderr)
    if sys.stdout.isatty():
        sys.stdout = _Terminal(sys.stdout)
