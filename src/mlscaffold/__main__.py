"""Runs the command line: `python -m mlscaffold`."""

from .cli import main

main()
