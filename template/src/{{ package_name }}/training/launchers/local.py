"""Trains in this process, which may be one of a group that torchrun started."""

import os
from dataclasses import replace

from ...config import Config
from . import Run


def launch(run: Run, config: Config) -> None:
    """Run `run(config)` here. If torchrun has restarted the group, it resumes."""
    if int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0:
        config = replace(config, resume="auto")
    run(config)
