"""What proves the engine of a rendered project: tests/engine, run in a render and as part of it."""

import shutil
from pathlib import Path

import pytest
from choices import DEFAULTS, named
from conftest import Render, Run

ENGINE = Path(__file__).parent / "engine"

OF_A_SERVER = (
    *("backends", "bentoml", "connections", "dashboard", "guard", "http", "limits", "objectives"),
    *("overload", "shadow", "signature", "swap", "swap_reading", "telemetry", "tracing"),
)
"""Tests of serving that depend on which server answers."""

# A project of each row runs these tests: all of them once, and again what a choice changes.
RUNS = [
    ({}, ["test_*.py"]),
    ({}, ["data", "evaluation", "models", "objectives"]),
    ({}, ["serving", "tracking"]),
    ({}, ["training"]),
    (
        {
            "pretrained": "huggingface",
            "tracking": "wandb",
            "serving": "bentoml",
            "distributed": "ray",
            "orchestration": "kubeflow",
            "deployment": "kubernetes",
        },
        [
            *("pretrained", "pipelines", "tracking"),
            *(f"serving/test_{one}.py" for one in OF_A_SERVER),
            *("training/test_ray.py", "test_compose.py"),
            *("test_register.py", "test_serve.py", "test_tracking.py"),
        ],
    ),
    ({"tracking": "none"}, ["test_compose.py", "test_serve.py"]),
    (
        {"deployment": "kubernetes"},
        [f"serving/test_{one}.py" for one in ("dashboard", "shadow", "signature", "tracing")],
    ),
    ({"deployment": "kubernetes", "monitoring": "drift"}, ["serving/test_dashboard.py"]),
    (
        {"modality": "image", "pretrained": "huggingface"},
        ["image", "pretrained", "serving/test_export.py"],
    ),
    (
        {"modality": "tabular", "serving": "bentoml", "monitoring": "drift"},
        ["tabular", "monitoring", "serving/test_export.py"],
    ),
    *(({"modality": one, "monitoring": "drift"}, ["monitoring"]) for one in ("text", "image")),
]
NAMES = [f"{named({**DEFAULTS, **answers})}-{tests[0]}" for answers, tests in RUNS]


def test_every_test_of_the_engine_is_run() -> None:
    run = {one for _, tests in RUNS for name in tests for one in ENGINE.glob(name)}
    assert all({path, path.parent} & run for path in ENGINE.rglob("test_*.py"))


@pytest.mark.slow
@pytest.mark.parametrize(("answers", "tests"), RUNS, ids=NAMES)
def test_the_engine_holds(
    answers: dict[str, str], tests: list[str], render: Render, run_in: Run
) -> None:
    project = render(with_git=True, **answers)
    folder = shutil.copytree(ENGINE, project / "tests" / "engine")
    paths = [str(path) for name in tests for path in sorted(folder.glob(name))]
    run_in(project, "python", "-m", "pytest", "--quiet", *paths, timeout_s=1200)
