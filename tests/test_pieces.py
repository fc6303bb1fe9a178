"""The pieces that the template brings: each works in a project of each modality as it is."""

import json
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import yaml
from conftest import Render, Run
from toys import cli

ROOT = Path(__file__).parents[1]
TABLE = yaml.safe_load((ROOT / "pieces" / "pieces.yml").read_text())
Extended = Callable[[str], Path]

KINDS = ("dataset", "model", "objective", "callback", "stage")
MODALITIES = ("text", "image", "tabular")
LONG_PACKAGE = "p" * 50
LONG_NAME = "zebra_" + "z" * 26


def added(project: Path, kind: str, name: str) -> dict:
    """What `mlscaffold add` has written, as its JSON says."""
    done = cli("add", kind, name, "--project", project, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def extended(render: Render) -> Extended:
    """`extended(modality)`: the path of a project with a piece of each kind, made once."""

    @cache
    def made(modality: str) -> Path:
        project = render(modality=modality, with_git=True)
        for kind in KINDS:
            added(project, kind, f"My-{kind}")
        return project

    return made


def test_there_is_every_kind_that_the_help_names() -> None:
    assert tuple(kind for kind in TABLE if not kind.startswith("_")) == KINDS


def test_each_source_is_used() -> None:
    named = {
        source.replace("{{ modality }}", modality)
        for kind in KINDS
        for modality in MODALITIES
        for source in (
            *TABLE[kind]["files"].values(),
            *(lines["source"] for lines in TABLE[kind].get("lines", ())),
        )
    }
    folder = ROOT / "pieces"
    there = {path.relative_to(folder).as_posix() for path in folder.glob("*/*")}
    assert named - there == {"dataset/image.csv"}  # has no path in a project of images
    assert there <= named


def test_what_is_written_says_where_to_fill_it_in(extended: Extended) -> None:
    done = added(extended("text"), "model", "lstm")
    assert done["added"] == [
        "configs/model/lstm.yaml",
        "src/toy_project/models/lstm.py",
        "tests/test_model_lstm.py",
    ]
    assert done["changed"] == []
    assert done["next"] == ['make train evaluate ARGS="model=lstm"']
    for place in done["places"]:
        path, number = place.split(":")
        lines = (extended("text") / path).read_text().splitlines()
        assert "# Your own:" in lines[int(number) - 1]
    assert {place.split(":")[0] for place in done["places"]} == set(done["added"][1:])


def test_a_stage_lists_only_its_own_places(render: Render) -> None:
    project = render()
    for name in ("first", "second"):
        places = added(project, "stage", name)["places"]
        assert sum(place.startswith("src/toy_project/config.py:") for place in places) == 1
        for path, number in (place.split(":") for place in places):
            assert "# Your own:" in (project / path).read_text().splitlines()[int(number) - 1]
    stages = yaml.safe_load((project / "dvc.yaml").read_text())["stages"]
    assert [*stages][-2:] == ["second", "first"]
    assert yaml.safe_load((project / "configs" / "config.yaml").read_text())["first"]
    helped = subprocess.run(["make"], cwd=project, capture_output=True, text=True, check=True)
    assert "  make first " in helped.stdout and "  make second " in helped.stdout


@pytest.mark.parametrize(
    ("modality", "package_name"),
    [("text", LONG_PACKAGE), ("image", LONG_PACKAGE), ("tabular", "a")],
)
def test_pieces_have_the_projects_style_whatever_their_name(
    modality: str, package_name: str, render: Render
) -> None:
    """Formatting depends on the length of names, and on their order."""
    project = render(modality=modality, package_name=package_name)
    for kind in KINDS:
        added(project, kind, f"Aa-{kind}")
        added(project, kind, f"{LONG_NAME[:-3]}{kind[:3]}")
    for check in (["check"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *check, "--no-cache"]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "modality", ["text", *(pytest.param(one, marks=pytest.mark.nightly) for one in MODALITIES[1:])]
)
def test_pieces_pass_the_projects_checks(modality: str, extended: Extended, run_in: Run) -> None:
    project = extended(modality)
    run_in(project, "make", "lint")
    tests = [str(path) for kind in KINDS for path in project.glob(f"tests/test_{kind}_*.py")]
    assert len(tests) >= len(KINDS)
    run_in(project, "python", "-m", "pytest", "--quiet", *tests)


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("modality", MODALITIES)
def test_a_project_trains_with_its_pieces(modality: str, extended: Extended, run_in: Run) -> None:
    project = extended(modality)
    run_in(project, "python", "-m", "pytest", "--quiet", "tests/test_configs.py")
    chosen = ["data=my_dataset", "objective=my_objective", "model=my_model", "tracking=none"]
    chosen += ["training.callbacks=[my_callback]", "training.epochs=20", "training.batch_size=8"]
    chosen += ["training.patience=20"]
    for stage in ("fetch", "preprocess", "train", "evaluate", "my_stage"):
        done = run_in(project, "python", "-m", f"toy_project.{stage}", *chosen)
        if stage == "train":
            assert "gap" in done.stderr
    config = json.loads((project / "models" / "bundle" / "config.json").read_text())
    assert config["model"]["name"] == "my_model"
    assert config["objective"]["name"] == "my_objective"
    metrics = json.loads((project / "reports" / "metrics.json").read_text())
    assert metrics["accuracy"] > metrics["baselines"]["majority"]["accuracy"]
    rows = json.loads((project / "reports" / "my_stage.json").read_text())
    assert all(row["prediction"] != row["target"] for row in rows)


@pytest.mark.slow
@pytest.mark.nightly
def test_dvc_runs_an_added_stage_again_when_its_settings_change(
    extended: Extended, run_in: Run
) -> None:
    project = extended("tabular")
    smoke = project / "configs" / "config.yaml"
    smoke.write_text(smoke.read_text().replace("training: default", "training: smoke"))
    run_in(project, "make", "repro")
    rows = project / "reports" / "my_stage.json"
    run_in(project, "dvc", "exp", "run", "--set-param", "my_stage.num_rows=1")
    assert len(json.loads(rows.read_text())) == 1
