"""dvc.yaml as a pipeline of Kubeflow Pipelines, whose steps exchange artifacts."""

import json
import linecache
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from kfp import dsl
from kfp.dsl.base_component import BaseComponent

from ..rules import require
from .config import PipelineConfig, PipelineSection, StepConfig
from .graph import DVC_YAML, GATE, Step, read_steps

PACKAGE = (__package__ or "").partition(".")[0]
FUNCTION = """\
def {function}({parameters}):
    from {package}.step import run_step

    run_step({name!r}, {command!r}, overrides, inputs={{{inputs}}}, outputs={{{outputs}}})
"""
"""The source of a component. KFP takes a step's artifacts from a function's signature, and puts the
function's text into the compiled pipeline."""


def build(config: PipelineConfig, overrides: Sequence[str]) -> BaseComponent:
    """Return the pipeline; `overrides` is the default of its parameter of that name.

    Raises:
        ConfigError: A step that `pipeline.steps` names is not in dvc.yaml.
        ProjectError: DVC cannot read dvc.yaml.
    """
    steps = read_steps(DVC_YAML, json.dumps(asdict(config)))  # JSON is YAML too
    names = [step.name for step in steps]
    for name in config.pipeline.steps:
        require(name in names, "a name in pipeline.steps", f"one of {', '.join(names)}", name)
    default = list(overrides)

    @dsl.pipeline(name=PACKAGE.replace("_", "-"), description=f"{' -> '.join(names)}")
    def pipeline(overrides: list = default) -> None:
        made: dict[Path, object] = {}
        tasks: list[dsl.PipelineTask] = []
        for step in steps:
            component = dsl.component(
                _function(step), base_image=config.pipeline.image, install_kfp_package=False
            )
            given = {_identifier(path): made[path] for path in step.inputs}
            task = component(overrides=overrides, **given)
            if step.name == GATE:
                task.after(*tasks)
            tasks.append(task)
            made |= {path: task.outputs[_identifier(path)] for path in step.outputs}
            _equip(task, config.pipeline.of(step.name))
            _add_secret(task, config.pipeline)

    return pipeline


def _function(step: Step) -> Callable[..., None]:
    """Return a function of the step's artifacts that runs it."""
    inputs = [f"{_identifier(path)}: Input[Artifact]" for path in step.inputs]
    outputs = [
        f"{_identifier(path)}: Output[{'Metrics' if path in step.metrics else 'Artifact'}]"
        for path in step.outputs
    ]
    name = _identifier(step.name)
    source = FUNCTION.format(
        function=name,
        name=step.name,
        command=step.command,
        package=__package__,
        parameters=", ".join(["overrides: list", *inputs, *outputs]),
        inputs=_mapping(step.inputs),
        outputs=_mapping(step.outputs),
    )
    file = f"<step {step.name}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    namespace = {name: getattr(dsl, name) for name in ("Artifact", "Input", "Metrics", "Output")}
    exec(compile(source, file, "exec"), namespace)
    return namespace[name]


def _mapping(paths: Sequence[Path]) -> str:
    return ", ".join(f"{path.as_posix()!r}: {_identifier(path)}" for path in paths)


def _identifier(name: object) -> str:
    return re.sub(r"\W", "_", str(name))


def _equip(task: dsl.PipelineTask, config: StepConfig) -> None:
    """Set the resources, retries and caching of a step."""
    if config.cpu:
        task.set_cpu_request(str(config.cpu)).set_cpu_limit(str(config.cpu))
    if config.memory:
        task.set_memory_request(str(config.memory)).set_memory_limit(str(config.memory))
    if config.accelerator and config.num_accelerators:
        task.set_accelerator_type(config.accelerator)
        task.set_accelerator_limit(config.num_accelerators)
    if config.retries:
        task.set_retry(config.retries, backoff_duration="30s")
    task.set_caching_options(bool(config.caching))


def _add_secret(task: dsl.PipelineTask, config: PipelineSection) -> None:
    """Make the keys of a Kubernetes secret environment variables of a step.

    This replaces `use_secret_as_env` of kfp-kubernetes, to avoid that dependency.
    """
    if config.secret:
        keys = [{"secretKey": key, "envVar": key} for key in config.secret_keys]
        name = {"runtimeValue": {"constant": config.secret}}
        secret = {"secretName": config.secret, "secretNameParameter": name, "keyToEnv": keys}
        task.platform_config["kubernetes"] = {"secretAsEnv": [secret | {"optional": False}]}
