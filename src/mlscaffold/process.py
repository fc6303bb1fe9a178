"""The process of a command: its signals, its streams, and the code that it exits with."""

import json
import os
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import typer

from .errors import MlscaffoldError
from .terminal import open_streams

CONFLICTS, OUTDATED = 3, 4
INTERRUPTED = 130
BROKEN_PIPE = 141
"""The code of a program that SIGPIPE ends."""


def run(app: Callable[[], object]) -> None:
    """Run the application and exit; SIGINT and SIGTERM end it after its cleanup."""
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _end)
        open_streams()
        try:
            app()
        finally:
            _flush()
    except KeyboardInterrupt:  # before or after a command
        say("interrupted")
        sys.exit(INTERRUPTED)


@contextmanager
def failing(as_json: bool = False, *, interrupted: str = "nothing was changed") -> Generator[None]:
    """Turn what is raised in the block into one line on stderr and an exit code.

    Args:
        as_json: Also print `{"error": ...}` on stdout.
        interrupted: What the message of an interrupt says.
    """
    try:
        yield
    except BrokenPipeError as error:
        raise typer.Exit(BROKEN_PIPE) from error
    except (MlscaffoldError, OSError) as error:
        line = " ".join(str(error).split())
        by_hand = getattr(error, "by_hand", "")
        say(f"error: {line}")
        if as_json:
            print_json({"error": line, **({"by_hand": by_hand} if by_hand else {})})
        elif by_hand:
            print(by_hand.strip("\n"))
        code = error.exit_code if isinstance(error, MlscaffoldError) else 1
        raise typer.Exit(code) from error
    except (KeyboardInterrupt, typer.Abort) as error:
        say(f"interrupted: {str(error) or interrupted}")
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def progress_line() -> Generator[Callable[[str], None]]:
    """Yield a function that shows the current step beside a spinner; silent without a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    # ASCII only, and not through the filter, which would escape the control characters.
    status = Console(file=sys.__stderr__).status("", spinner="line")

    def show(step: str) -> None:
        status.update(step)
        status.start()

    try:
        yield show
    finally:
        status.stop()


def say(line: str) -> None:
    """Print a line on stderr."""
    print(line, file=sys.stderr)


def print_json(document: Any) -> None:
    """Print a JSON document on stdout."""
    print(json.dumps(document, default=str, indent=2))


def _end(number: int, _: object) -> None:
    """End the program; later signals are ignored, so that the cleanup is not interrupted."""
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


def _flush() -> None:
    """Flush stdout; exit with an error where it can't be written."""
    try:
        sys.stdout.flush()
    except OSError as error:
        # Python flushes again when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            sys.exit(BROKEN_PIPE)
        say(f"error: the output can't be written: {error.strerror}")
        sys.exit(1)
