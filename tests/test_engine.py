"""What proves the engine of a rendered project: tests/engine, run in a render and as part of it."""

import shutil
from pathlib import Path

import pytest
from conftest import Render, Run

ENGINE = Path(__file__).parent / "engine"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tracking", "tests"), [("mlflow", "tests/engine"), ("wandb", "tests/engine/tracking")]
)
def test_the_engine_holds(tracking: str, tests: str, render: Render, run_in: Run) -> None:
    project = render(with_git=True, tracking=tracking)
    shutil.copytree(ENGINE, project / "tests" / "engine")
    run_in(project, "python", "-m", "pytest", "--quiet", tests, timeout_s=1200)
