"""Run the command line; Ctrl-C ends it without a traceback, even during imports."""

# Python has loaded `_signal` when it starts; importing `signal` could itself be interrupted.
import _signal  # ty: ignore[import-not-found]
import gc
import os


def main() -> None:
    """Run the command line and exit."""
    # What a command imports is not garbage: looking for some takes up to a tenth of its time.
    gc.set_threshold(50_000)
    from .cli import main

    main()


def _leave(*_: object) -> None:
    """Exit at once: there is nothing to clean up yet, and an import can't be undone."""
    os.write(2, b"interrupted: nothing was changed\n")
    os._exit(130)


_signal.signal(_signal.SIGINT, _leave)

if __name__ == "__main__":
    main()
