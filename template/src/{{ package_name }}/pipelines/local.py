"""Run the pipeline on this machine, with artifacts from step to step as on a cluster."""

import io
import logging
import re
import sys
import warnings
from collections.abc import Generator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TextIO

from ..compose import stage
from ..errors import ProjectError
from .config import PipelineConfig, given_overrides

log = logging.getLogger(__name__)

RUNS = Path("pipelines/runs")
KFP_LOG = RUNS / "kfp.log"


@stage(PipelineConfig, "pipeline")
def main(config: PipelineConfig) -> None:
    """Run every step; overrides on the command line apply to all of them."""
    from kfp import local

    from .kubeflow import build

    pipeline = build(config, given_overrides())
    runner = local.SubprocessRunner(use_venv=False)
    # With the path of a missing workspace, KFP neither creates one nor prints about it.
    workspace = str(RUNS / "workspace")
    local.init(runner, pipeline_root=str(RUNS), workspace_root=workspace, raise_on_error=True)
    RUNS.mkdir(parents=True, exist_ok=True)
    with KFP_LOG.open("w", encoding="utf-8") as file, _step_lines_only(file) as lines:
        try:
            pipeline()
        except RuntimeError as error:  # KFP's error for a failed step
            raise ProjectError(f"{lines.last}; KFP's own log is {KFP_LOG}") from error
    log.info("%s: what each step made", max(RUNS.glob("*/")))


class _StepLines(io.TextIOBase):
    """Writes all that KFP prints to a file, and prints the lines of the steps."""

    def __init__(self, file: TextIO, out: TextIO) -> None:
        self.last = "no step began"
        self._file, self._out = file, out
        self._rest = ""

    def write(self, text: str, /) -> int:
        self._file.write(text)
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if match := re.fullmatch(r" *\[(\S+)\] (error: )?(.*)", line):
                self.last = f"{match[1]} failed: {match[3]}"
                print(line.strip(), file=self._out, flush=True)
        return len(text)


@contextmanager
def _step_lines_only(file: TextIO) -> Generator[_StepLines]:
    lines = _StepLines(file, sys.stdout)
    with redirect_stdout(lines), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # KFP: the image is not a python:…
        yield lines


if __name__ == "__main__":
    main()
