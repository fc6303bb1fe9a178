"""Stages as a user runs them, in this process."""

import sys
from collections.abc import Sequence
from types import ModuleType

import pytest


def run(*stages: ModuleType, settings: Sequence[str] = ()) -> str | None:
    """Run `python -m <stage> <settings>` for each stage; return the error that ended one."""
    with pytest.MonkeyPatch.context() as patch:
        for stage in stages:
            patch.setattr(sys, "argv", [stage.__name__, *settings])
            try:
                stage.main()
            except SystemExit as ended:
                return str(ended.code)
    return None
