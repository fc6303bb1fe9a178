"""What it takes to add something to a project: tests/additions, and lines of a config."""

import json
import shutil
from pathlib import Path

import pytest
from conftest import Render, Run, inside
from toys import edit

from demo import post, server

pytestmark = pytest.mark.slow

ADDITIONS = Path(__file__).parent / "additions"
ADDED = (
    "data=fruits",
    "model=lstm",
    "objective=hinge",
    "optimizer=signed",
    "schedule.name=halved",
    "training.callbacks=[counting]",
    "training.monitor=errors",
    "registry.metric=errors",
    "registry.threshold=100",
)


@pytest.fixture(scope="module")
def extended(render: Render, run_in: Run) -> Path:
    """A project with one more of everything, trained on it, evaluated and registered."""
    project = render(with_git=True)
    package = project / "src" / "toy_project"
    shutil.copytree(ADDITIONS / "src", package, dirs_exist_ok=True)
    shutil.copytree(ADDITIONS / "configs", project / "configs", dirs_exist_ok=True)
    # A metric is an entry in one file, a schedule a function in one.
    edit(
        package / "objectives" / "classification.py",
        (
            '"macro_f1": Metric(macro_f1),\n',
            '"macro_f1": Metric(macro_f1),\n'
            '        "errors": Metric(errors, higher_is_better=False),\n',
        ),
        (
            "def macro_f1(",
            "def errors(targets: np.ndarray, scores: np.ndarray) -> float:\n"
            '    """Return the number of rows whose label is wrong."""\n'
            "    return float((targets != scores.argmax(axis=-1)).sum())\n\n\n"
            "def macro_f1(",
        ),
    )
    edit(
        package / "training" / "schedules.py",
        (
            "def linear(",
            "def halved(done: float, config: ScheduleConfig) -> float:\n"
            '    """Fall by a half in the middle."""\n'
            "    return 1.0 if done < 0.5 else 0.5\n\n\n"
            "def linear(",
        ),
        ("(constant, cosine, linear,", "(constant, cosine, halved, linear,"),
    )
    run_in(project, "make", "format")
    run_in(project, "python", "-m", "toy_project.compose", *ADDED)
    for stage in ("fetch", "preprocess", "train", "evaluate", "register"):
        settings = [*ADDED, "training=smoke"] if stage == "train" else ADDED
        run_in(project, "python", "-m", f"toy_project.{stage}", *settings)
    return project


def test_it_trains_and_a_callback_sees_it(extended: Path) -> None:
    assert int((extended / "reports" / "steps.txt").read_text()) > 0
    config = json.loads((extended / "models" / "bundle" / "config.json").read_text())
    assert config["model"] == {"name": "lstm", "width": 12}
    assert config["objective"]["name"] == "hinge"
    assert config["objective"]["labels"] == ["red", "yellow"]


def test_a_metric_is_everywhere(extended: Path) -> None:
    metrics = json.loads((extended / "reports" / "metrics.json").read_text())
    assert metrics["errors"] >= 0
    assert metrics["baselines"]["majority"]["errors"] > 0
    assert "validation_errors" in (extended / "reports" / "history.csv").read_text()
    assert "| errors |" in (extended / "reports" / "model_card.md").read_text()


def test_it_is_served(extended: Path, project_env: Path) -> None:
    with server(extended, env=inside(extended, project_env)) as url:
        answer = post(f"{url}/predict", {"text": "a ripe banana"})
    assert answer["prediction"] in ("red", "yellow")


def test_the_projects_own_checks_pass(extended: Path, run_in: Run) -> None:
    run_in(extended, "make", "lint")
    run_in(extended, "python", "-m", "pytest", "--quiet", timeout_s=1200)
