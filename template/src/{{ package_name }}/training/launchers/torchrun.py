"""Starts the workers on this machine with torchrun's own agent."""

import logging
import signal
import sys
import uuid
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue

from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from ...config import Config
from ...errors import ProjectError
from . import Run, WorkerError

STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)
"""Exit codes of a worker that a signal stopped."""

# The agent's own reports of a failure; WorkerError says the same in one line.
for name in (
    "torch.distributed.elastic",
    "torch.distributed.elastic.agent.server.api",
    "torch.distributed.elastic.multiprocessing.api",
    "torch.multiprocessing.spawn",
):
    logging.getLogger(name).setLevel(logging.CRITICAL)


def launch(run: Run, config: Config) -> None:
    """Run `run(config)` in launcher.num_workers processes that meet on a free loopback port."""
    agent = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=config.launcher.num_workers,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=0,  # `start` restarts, with `resume=auto` and not after a ProjectError
    )
    errors: SimpleQueue[ProjectError] = get_context("spawn").SimpleQueue()
    try:
        elastic_launch(agent, _work)(run, config, errors)
    except ChildFailedError as error:
        if not errors.empty():
            raise errors.get() from None
        rank, failure = error.get_first_failure()
        if failure.exitcode in STOPPED:
            sys.exit(failure.exitcode)
        raise _worker_error(rank, failure) from None
    except SignalException as stopped:
        sys.exit(128 + stopped.sigval)


def _work(run: Run, config: Config, errors: "SimpleQueue[ProjectError]") -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        run(config)
    except ProjectError as error:
        errors.put(error)
        raise


def _worker_error(rank: int, failure: ProcessFailure) -> WorkerError:
    if failure.exitcode < 0:
        return WorkerError(f"worker {rank} was ended by {failure.signal_name()}")
    raised = failure.error_file_data["message"]
    if not isinstance(raised, dict):  # there is no exception
        return WorkerError(f"worker {rank} ended with exit code {failure.exitcode}")
    traceback = raised["extraInfo"]["py_callstack"]
    return WorkerError(f"worker {rank} failed: {raised['message']}", traceback)
