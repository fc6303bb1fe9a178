"""Run a stage's command inside a step, where it has only the outputs of other steps."""

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from signal import SIGKILL

from kfp.dsl import Artifact, Metrics

from ..artifacts import CONFIGS, PARAMS
from ..errors import ProjectError
from .graph import DVC_YAML, Step, read_steps

ALWAYS = (CONFIGS, DVC_YAML, Path(".copier-answers.yml"))
"""Files that every step needs; the last one has the template's version, for the lineage."""


def run_step(
    name: str,
    command: str,
    overrides: Sequence[str],
    *,
    inputs: Mapping[str, Artifact],
    outputs: Mapping[str, Artifact],
) -> None:
    """Run a stage's command as in a fresh clone of the project in this folder.

    `inputs` and `outputs` are the artifacts behind the stage's paths; `overrides` are settings such
    as `training.epochs=3`, composed into the params.yaml that the command reads. If the
    command fails, this process ends with the same exit code.
    """
    with tempfile.TemporaryDirectory() as temporary:
        root, folder = Path.cwd(), Path(temporary)
        _link([path for path in ALWAYS if path.exists()], root, folder)
        compose = f"{(__package__ or '').partition('.')[0]}.compose"
        _run(name, [sys.executable, "-m", compose, *overrides], root, folder)
        try:
            step = _declared(name, command, folder, inputs, outputs)
            _link(step.sources, root, folder)
        except ProjectError as error:
            _say(name, f"error: {error}")
            sys.exit(1)
        for path, artifact in inputs.items():
            _copy(Path(artifact.path), folder / path)
        for path in outputs:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
        _say(name, command)
        _run(name, ["sh", "-c", command], root, folder)
        for path, artifact in outputs.items():
            _copy(folder / path, Path(artifact.path))
            if isinstance(artifact, Metrics):
                artifact.metadata |= _figures(folder / path)


def _declared(
    name: str, command: str, folder: Path, inputs: Iterable[str], outputs: Iterable[str]
) -> Step:
    """Return the step as the image's dvc.yaml defines it, with these settings.

    Raises:
        ProjectError: It differs from the step that was compiled.
    """
    steps = read_steps(folder / DVC_YAML, (folder / PARAMS).read_text("utf-8"))
    compiled = (name, command, set(map(Path, inputs)), set(map(Path, outputs)))
    for step in steps:
        if (step.name, step.command, set(step.inputs), set(step.outputs)) == compiled:
            return step
    raise ProjectError(
        f"{DVC_YAML} has another {name} here, or with these settings, than when the pipeline was "
        "compiled; compile it again with them, and build the image again"
    )


def _link(paths: Iterable[Path], root: Path, folder: Path) -> None:
    """Link the project's files into the step's folder."""
    for path in sorted(paths):  # a folder before its contents
        link = folder / path
        if not (root / path).exists():
            raise ProjectError(f"{path} is missing here, and no step makes it")
        if not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(root / path)


def _run(name: str, command: Sequence[str], root: Path, folder: Path) -> None:
    """Run a command in the step's folder; prefix its output with the step's name."""
    env = os.environ | {"PYTHONUNBUFFERED": "1"}
    repository = next((path for path in (root, *root.parents) if (path / ".git").exists()), None)
    if repository:  # for the model's lineage
        env |= {"GIT_DIR": str(repository / ".git"), "GIT_WORK_TREE": str(repository)}
    with subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout
        for line in process.stdout:
            _say(name, line.rstrip())
    signal = -process.returncode if process.returncode < 0 else process.returncode - 128
    if signal > 0:  # a killed process prints no reason
        _say(name, f"error: killed by signal {signal}{', out of memory?' * (signal == SIGKILL)}")
        sys.exit(128 + signal)
    if process.returncode:
        sys.exit(process.returncode)


def _say(name: str, line: str) -> None:
    print(f"[{name}] {line}", flush=True)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)


def _figures(path: Path) -> dict[str, float]:
    """Return the numbers at the top of a JSON file, which Kubeflow shows beside the run."""
    values = json.loads(path.read_text("utf-8"))
    return {k: v for k, v in values.items() if isinstance(v, float) and math.isfinite(v)}
