"""The compiled pipeline, against dvc.yaml and against KFP's own schema."""

import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from toy_project.pipelines import compile as door

ROOT = Path(__file__).parents[3]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"]
GATE = "register"


def project(folder: Path) -> Path:
    """Make a folder in which this project's pipeline compiles."""
    folder.mkdir(exist_ok=True)
    (folder / "configs").symlink_to(ROOT / "configs")
    shutil.copyfile(ROOT / "dvc.yaml", folder / "dvc.yaml")
    return folder


def compiled(folder: Path, *settings: str) -> str:
    """Return the file that the command writes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["compile", *settings])
        door.main()
    return (folder / door.PIPELINE_YAML).read_text("utf-8")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    return compiled(project(tmp_path_factory.mktemp("one")))


@pytest.fixture(scope="module")
def spec(text: str) -> dict[str, Any]:
    return yaml.safe_load(text)


def tasks(spec: dict[str, Any]) -> dict[str, Any]:
    return spec["root"]["dag"]["tasks"]


def container(spec: dict[str, Any], step: str) -> dict[str, Any]:
    return spec["deploymentSpec"]["executors"][f"exec-{step}"]["container"]


def producers(spec: dict[str, Any], step: str) -> set[str]:
    artifacts = tasks(spec)[step]["inputs"].get("artifacts", {})
    return {artifact["taskOutputArtifact"]["producerTask"] for artifact in artifacts.values()}


def paths(stage: dict[str, Any], *kinds: str) -> set[str]:
    """Return the paths of a stage, which DVC takes as `path` and as `path: {...}`."""
    return {path for kind in kinds for entry in stage.get(kind, []) for path in flat(entry)}


def flat(entry: str | dict[str, Any]) -> list[str]:
    return [entry] if isinstance(entry, str) else list(entry)


def test_two_compiles_are_equal_wherever_they_run(text, tmp_path):
    assert compiled(project(tmp_path / "two")) == text
    assert str(Path.home()) not in text
    assert not re.search(r"\b20\d\d-\d\d-\d\d\b", text)


def test_it_is_a_pipeline_by_the_schema_of_kfp(spec):
    message = vars(pipeline_spec_pb2)["PipelineSpec"]()
    json_format.ParseDict(spec, message)
    assert set(message.root.dag.tasks) == set(tasks(spec))
    wrong = spec | {"root": {"dag": {"steps": {}}}}
    with pytest.raises(json_format.ParseError, match="steps"):
        json_format.ParseDict(wrong, type(message)())


def test_its_steps_are_the_stages_and_the_gate(spec):
    assert set(tasks(spec)) == {*STAGES, GATE}
    for name, stage in STAGES.items():
        assert repr(stage["cmd"]) in container(spec, name)["command"][-1]


def test_a_step_takes_what_its_stage_depends_on(spec):
    made = {out: name for name in STAGES for out in paths(STAGES[name], "outs", "metrics", "plots")}
    for name, stage in STAGES.items():
        assert producers(spec, name) == {made[dep] for dep in paths(stage, "deps") if dep in made}
        outputs = spec["components"][f"comp-{name}"]["outputDefinitions"]["artifacts"]
        assert len(outputs) == list(made.values()).count(name)
    assert producers(spec, GATE) >= {"preprocess", "train", "evaluate"}
    assert set(tasks(spec)[GATE]["dependentTasks"]) == set(STAGES)


def test_a_stage_more_is_a_step_more(spec, tmp_path):
    folder = project(tmp_path / "project")
    stages = STAGES | {
        "count": {
            "cmd": ["wc -l ${data.name}.csv", "echo done"],
            "wdir": "reports",
            "deps": ["predictions.csv"],
            "outs": ["count-${data.name}.txt"],
        }
    }
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}), "utf-8")
    more = yaml.safe_load(compiled(folder, "data.name=mine"))
    assert set(tasks(more)) - set(tasks(spec)) == {"count"}
    assert producers(more, "count") == {"evaluate"}
    assert producers(more, GATE) == producers(spec, GATE) | {"count"}
    assert list(tasks(more)[GATE]["dependentTasks"]) == sorted(stages)
    source = container(more, "count")["command"][-1]
    assert "'cd reports && wc -l mine.csv && echo done'" in source
    assert "outputs={'reports/count-mine.txt': reports_count_mine_txt}" in source


def test_overrides_are_a_parameter_of_every_step(spec, tmp_path):
    folder = project(tmp_path / "project")
    given = yaml.safe_load(compiled(folder, "model=mlp", "pipeline.image=other:1", "seed=3"))
    assert parameter(spec)["defaultValue"] == []
    assert parameter(given)["defaultValue"] == ["model=mlp", "seed=3"]
    for name, task in tasks(given).items():
        assert task["inputs"]["parameters"]["overrides"] == {"componentInputParameter": "overrides"}
        assert container(given, name)["image"] == "other:1"


def parameter(spec: dict[str, Any]) -> dict[str, Any]:
    [overrides] = spec["root"]["inputDefinitions"]["parameters"].values()
    return overrides


def test_resources_retries_caching_and_the_secret_come_from_the_config(tmp_path):
    first, second = yaml.safe_load_all(
        compiled(
            project(tmp_path / "project"),
            "pipeline.default={cpu: 500m, memory: 1Gi, retries: 2, caching: true}",
            "pipeline.steps={train: {cpu: 8, memory: null, accelerator: nvidia.com/gpu, "
            "num_accelerators: 1}, register: {retries: 0, caching: false}}",
            "pipeline.secret=keys",
            "pipeline.secret_keys=[TOKEN]",
        )
    )
    of_train = container(first, "train")["resources"]
    assert of_train["resourceCpuRequest"] == of_train["resourceCpuLimit"] == "8"
    assert of_train["resourceMemoryRequest"] == of_train["resourceMemoryLimit"] == "1Gi"
    assert of_train["accelerator"]["resourceType"] == "nvidia.com/gpu"
    assert of_train["accelerator"]["resourceCount"] == "1"
    of_evaluate = container(first, "evaluate")["resources"]
    assert of_evaluate["resourceCpuLimit"] == "500m"
    assert "accelerator" not in of_evaluate
    assert tasks(first)["train"]["retryPolicy"]["maxRetryCount"] == 2
    assert tasks(first)["train"]["cachingOptions"] == {"enableCache": True}
    assert "retryPolicy" not in tasks(first)[GATE]
    assert tasks(first)[GATE]["cachingOptions"] == {}
    executors = second["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert set(executors) == {f"exec-{name}" for name in tasks(first)}
    [secret] = executors["exec-train"]["secretAsEnv"]
    assert secret == {  # what use_secret_as_env of kfp-kubernetes 2.16.1 writes
        "secretName": "keys",
        "secretNameParameter": {"runtimeValue": {"constant": "keys"}},
        "keyToEnv": [{"secretKey": "TOKEN", "envVar": "TOKEN"}],
        "optional": False,
    }


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("pipeline.image=", "pipeline.image must be a name, got ''"),
        ("pipeline.imge=x", "pipeline.imge is not a setting; did you mean image?"),
        (
            "pipeline.default.cpu=many",
            "pipeline.default.cpu must be cores such as 2, 0.5 or 500m or null, got 'many'",
        ),
        (
            "pipeline.steps.train.memory=8GB",
            "pipeline.steps.train.memory must be bytes such as 512Mi or 4Gi or null, got '8GB'",
        ),
        ("pipeline.default.retries=-1", "pipeline.default.retries must be >= 0 or null, got -1"),
        (
            "pipeline.steps.train.num_accelerators=1",
            "pipeline.steps.train.accelerator must be named, as nvidia.com/gpu, got None",
        ),
        ("pipeline.secret=keys", "pipeline.secret_keys must be the keys of a secret, got []"),
        (
            "+pipeline.steps.tran.cpu=1",
            "a name in pipeline.steps must be one of fetch, preprocess, train, evaluate, register, "
            "got 'tran'",
        ),
    ],
)
def test_a_wrong_setting_ends_in_one_line(setting, message, tmp_path, capfd):
    with pytest.raises(SystemExit, match=f"^error: {re.escape(message)}$"):
        compiled(project(tmp_path / "project"), setting)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("dvc_yaml", "message"),
    [
        (
            "stages: {one: {cmd: a, deps: [../x, https://bucket/y]}}",
            "dvc.yaml: ../x is not in the project, and so in no image",
        ),
        (
            "stages: {one: {cmd: a, deps: [oss://bucket/y]}}",
            # As the plugin, or only what it needs, is missing.
            "(oss|URL 'oss://bucket/y') is supported,? but requires .*dvc-oss.*",
        ),
        (None, "there is no dvc.yaml here; run this in the project's root"),
        (
            "stages: {one: {cmd: 'echo ${no.such}'}}",
            "failed to parse 'stages.one.cmd' in 'dvc.yaml': Could not find 'no.such'",
        ),
        (
            "stages: {one: {cmd: a, outs: [x]}, two: {cmd: b, outs: [x]}}",
            r"output 'x' is specified in: - dvc.yaml:\w+ - dvc.yaml:\w+ .*",
        ),
        (
            "stages: {one: {cmd: a, deps: [x], outs: [y]}, two: {cmd: b, deps: [y], outs: [x]}}",
            r"Same item\(s\) are defined as both .* in stages: dvc.yaml:\w+, dvc.yaml:\w+\.",
        ),
    ],
)
def test_a_dvc_yaml_that_dvc_refuses_ends_in_one_line(dvc_yaml, message, tmp_path):
    folder = project(tmp_path / "project")
    (folder / "dvc.yaml").unlink()
    if dvc_yaml:
        (folder / "dvc.yaml").write_text(dvc_yaml, "utf-8")
    with pytest.raises(SystemExit, match=rf"^error: {message}$"):
        compiled(folder)
