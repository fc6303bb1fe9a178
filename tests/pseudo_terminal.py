"""A pseudo-terminal with a user who waits for text and types."""

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

COMMAND = (sys.executable, "-m", "mlscaffold")


class Terminal:
    """A command whose three streams are a terminal."""

    def __init__(self, *arguments: str, cwd: Path, **env: str) -> None:
        self._keyboard, terminal = pty.openpty()
        self._process = subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=cwd,
            env=os.environ | {"TERM": "xterm"} | env,
            start_new_session=True,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
        )
        os.close(terminal)
        self.seen = ""
        self._read_until = 0

    def see(self, text: str, *, timeout_s: float = 60) -> None:
        """Wait until the text is shown, after what was waited for before."""
        deadline = time.monotonic() + timeout_s
        while text not in self.seen[self._read_until :]:
            assert time.monotonic() < deadline, self.seen
            assert self._read(), self.seen
        self._read_until = self.seen.index(text, self._read_until) + len(text)

    def type(self, text: str) -> None:
        """Type the text, in which a carriage return is Enter."""
        os.write(self._keyboard, text.encode())

    def end(self) -> int:
        """Return the command's exit code, once it has ended."""
        while self._read():
            pass
        os.close(self._keyboard)
        return self._process.wait(timeout=60)

    def _read(self) -> bool:
        """Read more output; return whether any came within a minute."""
        try:
            if not select.select([self._keyboard], [], [], 60)[0]:
                return False
            self.seen += os.read(self._keyboard, 65536).decode(errors="replace")
        except OSError:  # the command has ended
            return False
        self.seen = self.seen.replace("\r\n", "\n")
        return True
