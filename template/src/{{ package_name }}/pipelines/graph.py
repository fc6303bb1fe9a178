"""The steps of the pipeline, read from dvc.yaml by DVC itself."""

import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

from dvc.dependency import ParamsDependency
from dvc.exceptions import DvcException
from dvc.fs import RemoteMissingDepsError
from dvc.repo import Repo
from dvc.stage import PipelineStage

from ..artifacts import BUNDLE, PARAMS, PROCESSED, REPORTS
from ..errors import ProjectError

DVC_YAML = Path("dvc.yaml")
GATE = "register"
"""The step after the last stage; if the quality gate fails, so does the pipeline."""


@dataclass(frozen=True)
class Step:
    """One command and its files, as paths relative to the project's root."""

    name: str
    command: str
    inputs: tuple[Path, ...] = ()
    """Outputs of other steps."""
    outputs: tuple[Path, ...] = ()
    metrics: tuple[Path, ...] = ()
    """Those outputs that hold metrics, as JSON."""
    sources: tuple[Path, ...] = ()
    """Files that no step writes: code and existing data."""


def read_steps(dvc_yaml: Path, params: str) -> list[Step]:
    """Return the stages of dvc.yaml in topological order, then the quality gate.

    A stage with the gate's name replaces it. `${...}` in dvc.yaml is resolved with `params`, the
    text of a params.yaml.

    Raises:
        ProjectError: DVC cannot read it, or it names files outside the project.
    """
    if not dvc_yaml.exists():
        raise ProjectError(f"there is no {dvc_yaml.name} here; run this in the project's root")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        (folder / DVC_YAML).write_bytes(dvc_yaml.read_bytes())
        (folder / PARAMS).write_text(params, "utf-8")
        (folder / ".dvc").mkdir()
        (folder / ".dvc/config").write_text("[core]\nno_scm = true\n", "utf-8")
        try:
            with Repo(str(folder)) as repo:
                repo.index.check_graph()
                stages = [stage for stage in repo.index.stages if isinstance(stage, PipelineStage)]
        except (DvcException, RemoteMissingDepsError, ImportError) as error:
            message = str(error).replace(f"{os.path.relpath(folder)}/", "")
            raise ProjectError(" ".join(message.split())) from error
    outs = [_relative(out.fs_path, folder) for stage in stages for out in stage.outs]
    steps = _sorted(_step(stage, outs, folder) for stage in stages)
    return steps if GATE in (step.name for step in steps) else [*steps, _gate(outs)]


def _step(stage: PipelineStage, outs: Iterable[Path], folder: Path) -> Step:
    files = (dep for dep in stage.deps if not isinstance(dep, ParamsDependency))
    # The command itself fetches remote dependencies.
    deps = [_relative(dep.fs_path, folder) for dep in files if dep.protocol == "local"]
    commands = [stage.cmd] if isinstance(stage.cmd, str) else [*(stage.cmd or ())]
    if stage.wdir != str(folder):
        commands.insert(0, f"cd {_relative(stage.wdir, folder)}")
    return Step(
        str(stage.name),
        " && ".join(commands),
        inputs=_among(outs, deps),
        outputs=tuple(_relative(out.fs_path, folder) for out in stage.outs),
        metrics=tuple(_relative(out.fs_path, folder) for out in stage.outs if out.metric),
        sources=tuple(dep for dep in deps if not _among(outs, [dep])),
    )


def _gate(outs: Iterable[Path]) -> Step:
    package = (__package__ or "").partition(".")[0]
    command = f"python -m {package}.{GATE} --config-dir . --config-name params"
    return Step(GATE, command, inputs=_among(outs, [PROCESSED, BUNDLE, REPORTS]))


def _among(outs: Iterable[Path], wanted: Iterable[Path]) -> tuple[Path, ...]:
    """Return the outputs that equal, contain or are inside a wanted path."""
    return tuple(
        out
        for out in outs
        if any(out.is_relative_to(path) or path.is_relative_to(out) for path in wanted)
    )


def _sorted(steps: Iterable[Step]) -> list[Step]:
    by_name = {step.name: step for step in steps}
    maker = {out: step.name for step in by_name.values() for out in step.outputs}
    needs = {name: [maker[path] for path in step.inputs] for name, step in by_name.items()}
    return [by_name[name] for name in TopologicalSorter(needs).static_order()]


def _relative(path: str, folder: Path) -> Path:
    if not Path(path).is_relative_to(folder):
        outside = os.path.relpath(path, folder)
        raise ProjectError(f"{DVC_YAML}: {outside} is not in the project, and so in no image")
    return Path(path).relative_to(folder)
