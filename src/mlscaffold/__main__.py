"""Runs the command line; Ctrl-C ends it quietly even while modules are still imported."""

# What Python has loaded when it starts; importing `signal` takes long enough to be interrupted.
import _signal  # ty: ignore[import-not-found]
import os


def main() -> None:
    """Runs the command line and exits."""
    from .cli import main

    main()


def _leave(*_: object) -> None:
    """Ends the program at once: there is nothing to tidy up yet, and an import can't be undone."""
    os.write(2, b"interrupted: nothing was changed\n")
    os._exit(130)


_signal.signal(_signal.SIGINT, _leave)

if __name__ == "__main__":
    main()
