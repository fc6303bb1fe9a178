"""What coding agents read in a rendered project: each command runs, each path is there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from choices import COVERING, Answers, named
from conftest import Render, Run
from test_readme import commands, targets

OUTPUTS = {
    "data/raw/",
    "data/processed/",
    "models/",
    "reports/",
    "params.yaml",
    "dvc.lock",
    "uv.lock",
}
HEAVY = ("make check", "uv run pytest", "make fetch preprocess train evaluate", "make repro")
"""Commands that take long, for the nightly tests; those of each change run the same targets."""


def quoted(project: Path) -> list[str]:
    """What AGENTS.md quotes in its text."""
    text = re.sub(r"```.*?```", "", (project / "AGENTS.md").read_text(), flags=re.DOTALL)
    return re.findall(r"`([^`]+)`", text)


def run_all(project: Path, run_in: Run, *, heavy: bool) -> None:
    """Run the commands of AGENTS.md that are heavy, or those that are not."""
    found = commands(project / "AGENTS.md")
    assert all(any(line.startswith(one) for line in found) for one in HEAVY)
    for line in found:
        if line.startswith(HEAVY) == heavy:
            # `make setup` would change the environment of all tests, which it has made.
            line = line.replace("make setup", "make --dry-run setup")
            run_in(project, "bash", "-ec", line)


def test_its_commands_run(project: Path, run_in: Run) -> None:
    run_all(project, run_in, heavy=False)
    assert (project / "params.yaml").exists()


@pytest.mark.nightly
def test_its_commands_that_take_long_run(project: Path, run_in: Run) -> None:
    run_all(project, run_in, heavy=True)
    assert (project / "dvc.lock").exists()


@pytest.mark.parametrize("answers", COVERING, ids=named)
def test_what_it_names_is_there(answers: Answers, render: Render) -> None:
    project = render(**answers)
    lines = [line.partition("#")[0] for line in commands(project / "AGENTS.md")]
    words = {word for line in lines if line.startswith("make ") for word in line.split()[1:]}
    asked = {word for word in words if word.isidentifier()}
    made = targets(project / "Makefile")
    assert {"setup", "check", "format", "params", "repro", "train"} <= asked <= made
    names = {name for name in quoted(project) if re.search(r"/$|\.\w+$", name)}
    package = project / "src" / "toy_project"
    for name in names - OUTPUTS:
        found = [project / name, package / name]
        assert any(one.exists() for one in found), name
    assert OUTPUTS - names <= {"models/"}


@pytest.mark.parametrize("answers", COVERING, ids=named)
def test_it_names_the_folders_of_the_engine(answers: Answers, render: Render) -> None:
    project = render(**answers)
    rows = re.findall(r"`src/toy_project/(\w+/)` \| engine", (project / "README.md").read_text())
    engine = (project / "AGENTS.md").read_text().partition("- The engine")[2].partition("`src/")[0]
    assert set(rows) == set(re.findall(r"`(\w+/)`", engine))


def test_its_commands_of_the_generator_exist(render: Render) -> None:
    named = {text for text in quoted(render()) if text.startswith("mlscaffold ")}
    assert named == {"mlscaffold add", "mlscaffold update", "mlscaffold set"}
    for command in named:
        told = [sys.executable, "-m", *command.split(), "--help"]
        subprocess.run(told, check=True, stdout=subprocess.DEVNULL)


def test_claude_reads_the_same(render: Render) -> None:
    assert (render() / "CLAUDE.md").read_text() == "@AGENTS.md\n"
