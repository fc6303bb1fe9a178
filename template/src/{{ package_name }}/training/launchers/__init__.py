"""Start the processes that train, and restart them when one is lost.

A launcher is a file in this folder with a function `launch(run, config)`. It returns when
`run(config)` has returned in each of launcher.num_workers processes, which find RANK, WORLD_SIZE,
LOCAL_RANK and LOCAL_WORLD_SIZE in their environment. It raises the ProjectError that one of them
raised, or a WorkerError, after all of them have ended.
"""

import logging
from collections.abc import Callable
from dataclasses import replace

from ...config import Config
from ...errors import ProjectError
from ...lookup import find_function

Run = Callable[[Config], None]
Launch = Callable[[Run, Config], None]

log = logging.getLogger(__name__)


class WorkerError(ProjectError):
    """A worker failed or was killed. Contains its traceback, if there is one."""

    def __init__(self, message: str, traceback: str = "") -> None:
        super().__init__(message)
        self.traceback = traceback


def start(run: Run, config: Config) -> None:
    """Run `run(config)` in the processes that the launcher starts.

    When a worker is lost, all resume from the last checkpoint, regardless of `resume`.

    Raises:
        WorkerError: Workers were lost more often than launcher.max_restarts.
    """
    launch: Launch = find_function(
        "launch", folder="training/launchers", name=config.launcher.name, setting="launcher.name"
    )
    num_restarts, max_restarts = 0, config.launcher.max_restarts
    while True:
        try:
            return launch(run, config)
        except WorkerError as error:
            if error.traceback:
                log.error("%s", error.traceback)
            if num_restarts == max_restarts:
                raise
            num_restarts += 1
            log.warning("%s: restart %d of %d", error, num_restarts, max_restarts)
            config = replace(config, resume="auto")
