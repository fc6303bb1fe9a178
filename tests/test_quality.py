"""The rendered project's own checks, run as its user runs them."""

import pytest
from conftest import Render, Run


@pytest.mark.parametrize("python_package", ["toy_project", "zebra"])
def test_make_lint_passes(python_package: str, render: Render, run_in: Run) -> None:
    # Imports are sorted by name; how they are wrapped under a long one is tested in the matrix.
    run_in(render(with_git=True, package_name=python_package), "make", "lint")


def test_make_lists_its_targets(render: Render, run_in: Run) -> None:
    listed = run_in(render(), "make").stdout
    for target in (
        *("help", "setup", "lint", "format", "test", "fetch", "preprocess", "train", "evaluate"),
        *("register", "serve", "repro", "sweep", "ui", "clean"),
    ):
        assert f"make {target} " in listed
