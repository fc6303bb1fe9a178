"""A step, and a pipeline of small steps run for real."""

import re
import sys
from pathlib import Path

import pytest
import yaml
from kfp.dsl import Artifact, Metrics
from toy_project.artifacts import BUNDLE
from toy_project.pipelines import local
from toy_project.pipelines.step import run_step

COPY = "cat data/external/word.txt data/in.txt > data/out.txt; grep ^seed params.yaml"
SCORE = """echo '{"good": 0.5, "many": [1]}' > reports/score.json; ls data > reports/seen.txt"""
STAGES = {
    "begin": {"cmd": "echo hello > data/in.txt", "outs": ["data/in.txt"]},
    "copy": {
        "cmd": COPY,
        "deps": ["data/in.txt", "data/external/word.txt"],
        "outs": ["data/out.txt"],
    },
    "score": {
        "cmd": SCORE,
        "deps": ["data/out.txt"],
        "metrics": ["reports/score.json"],
        "outs": ["reports/seen.txt"],
    },
}


@pytest.fixture
def project(workspace: Path) -> Path:
    """A project of three small stages, with files that no step may see or change."""
    (workspace / "dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}), "utf-8")
    (workspace / "data/external").mkdir(parents=True)
    (workspace / "data/external/word.txt").write_text("word\n", "utf-8")
    (workspace / "data/in.txt").write_text("not an artifact\n", "utf-8")
    return workspace


def artifact(path: Path) -> Artifact:
    return Artifact(uri=str(path))


def test_a_step_has_its_artifacts_its_sources_and_its_settings_only(project, capfd):
    Path("given.txt").write_text("given\n", "utf-8")
    given, made = artifact(project / "given.txt"), artifact(project / "made.txt")
    run_step(
        "copy", COPY, ["seed=7"], inputs={"data/in.txt": given}, outputs={"data/out.txt": made}
    )
    assert Path(made.path).read_text("utf-8") == "word\ngiven\n"
    assert capfd.readouterr().out == f"[copy] {COPY}\n[copy] seed: 7\n"
    assert Path("data/in.txt").read_text("utf-8") == "not an artifact\n"
    assert not Path("params.yaml").exists()
    assert not Path("data/out.txt").exists()


def test_figures_are_shown_beside_the_run(project):
    metrics, seen = Metrics(uri=str(project / "a.json")), artifact(project / "b.txt")
    outputs = {"reports/score.json": metrics, "reports/seen.txt": seen}
    given = {"data/out.txt": artifact(project / "data/in.txt")}
    run_step("score", SCORE, [], inputs=given, outputs=outputs)
    assert metrics.metadata == {"good": 0.5}
    assert Path(seen.path).read_text("utf-8") == "out.txt\n"


@pytest.mark.parametrize(
    ("command", "settings", "line"),
    [
        (COPY, ["seed=-1"], "error: seed must be >= 0, got -1"),
        (COPY, ["seeds=1"], "error: seeds is not a setting; did you mean seed?"),
        (
            "another",
            [],
            "error: dvc.yaml has another copy here, or with these settings, than when the pipeline "
            "was compiled; compile it again with them, and build the image again",
        ),
    ],
)
def test_what_is_wrong_is_the_last_line(command, settings, line, project, capfd):
    inputs, outputs = {"data/in.txt": artifact(project)}, {"data/out.txt": artifact(project)}
    with pytest.raises(SystemExit) as end:
        run_step("copy", command, settings, inputs=inputs, outputs=outputs)
    assert end.value.code == 1
    assert capfd.readouterr().out == f"[copy] {line}\n"


def test_a_source_that_is_missing_is_named(project, capfd):
    Path("data/external/word.txt").unlink()
    inputs, outputs = {"data/in.txt": artifact(project)}, {"data/out.txt": artifact(project)}
    with pytest.raises(SystemExit):
        run_step("copy", COPY, [], inputs=inputs, outputs=outputs)
    line = "error: data/external/word.txt is missing here, and no step makes it"
    assert capfd.readouterr().out == f"[copy] {line}\n"


def test_a_command_that_was_killed_is_said_to_be(project, capfd):
    command = "kill -9 $$"
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": {"one": {"cmd": command}}}), "utf-8")
    with pytest.raises(SystemExit) as end:
        run_step("one", command, [], inputs={}, outputs={})
    assert end.value.code == 137
    line = "[one] error: killed by signal 9, out of memory?"
    assert capfd.readouterr().out.splitlines() == [f"[one] {command}", line]


def test_artifacts_carry_all_and_a_failing_gate_fails_the_pipeline(project, monkeypatch, capfd):
    del (stages := dict(STAGES))["score"]
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": stages}), "utf-8")
    monkeypatch.setattr(sys, "argv", ["local", "seed=7", "~pipeline.steps.train", "tracking=none"])
    line = f"register failed: {BUNDLE} is missing; run `make train` first, or `make repro` for all"
    with pytest.raises(SystemExit, match=rf"^error: {re.escape(line)}; KFP's own log is \S+$"):
        local.main()
    out, err = capfd.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == [
        "[begin]",
        *["[copy]"] * 2,
        *["[register]"] * 2,
    ]
    assert err == ""
    assert "finished with status" in local.KFP_LOG.read_text("utf-8")
    [folder] = local.RUNS.glob("*/")
    assert (folder / "copy/data_out_txt").read_text("utf-8") == "word\nhello\n"
    assert Path("data/in.txt").read_text("utf-8") == "not an artifact\n"
