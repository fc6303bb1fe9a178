"""`mlscaffold add` writes all or nothing: failures, crashes, and what else writes meanwhile."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Render
from foreign_pieces import foreign_project
from toys import cli, files_of, snapshot

from mlscaffold.add import add
from mlscaffold.errors import ConcurrentUpdateError
from mlscaffold.repository import files
from mlscaffold.updating import addition


@pytest.fixture(scope="session")
def rendered(render: Render) -> Path:
    return render(with_git=True, serving="none", ci="none", tracking="none")


@pytest.fixture
def project(rendered: Path, tmp_path: Path) -> Path:
    """A project of the bundled template."""
    return shutil.copytree(rendered, tmp_path / "toy-project", symlinks=True)


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A project of another template, whose first release has pieces."""
    return foreign_project(tmp_path)


class Broken(BaseException):
    """Stands for an error, or for a signal."""


@pytest.mark.parametrize("step", ["swap", "place", "sync"])
def test_a_failure_halfway_leaves_nothing(
    project: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files_of(project)
    done, failing_at, works = 0, 0, getattr(files, step)

    def failing(*arguments: object, **options: object) -> object:
        nonlocal done
        done += 1
        if done == failing_at:
            raise Broken
        return works(*arguments, **options)

    for number in range(1, 20):
        done, failing_at = 0, number
        with monkeypatch.context() as patch:
            patch.setattr(files, step, failing)
            try:
                add(project, "stage", "report")
            except Broken:
                assert files_of(project) == before
            else:
                break
    assert number == {"swap": 7, "place": 7, "sync": 3}[step]
    assert {path for path in files_of(project) if path not in before} == {
        "src/toy_project/report.py",
        "tests/test_stage_report.py",
    }


KILLED = """\
import os, sys
from pathlib import Path
from typing import Any
from mlscaffold.add import add
from mlscaffold.repository import files

step, left = sys.argv[2], int(sys.argv[3])
works = getattr(files, step)

def counted(*arguments, **options):
    global left
    left -= 1
    if left < 0:
        os._exit(9)
    return works(*arguments, **options)

setattr(files, step, counted)
add(Path(sys.argv[1]), "stage", "report")
"""


@pytest.mark.parametrize(
    ("step", "number"),
    [
        ("swap", 0),
        ("place", 3),
        *(
            pytest.param(step, number, marks=pytest.mark.nightly)
            for step in ("swap", "place")
            for number in range(1, 6)
        ),
    ],
)
def test_what_a_crash_leaves_is_undone_by_the_next_command(
    project: Path, step: str, number: int
) -> None:
    before = files_of(project)
    command = [sys.executable, "-c", KILLED, str(project), step, str(number)]
    assert subprocess.run(command, check=False).returncode == 9
    assert files_of(project) != before
    assert "KIND must be" in cli("add", "layer", "x", "--project", project).stderr
    done = cli("add", "stage", "report", "--project", project, "--dry-run")
    assert (done.exit_code, files_of(project)) == (0, before)


def test_an_update_undoes_what_a_crash_left(project: Path) -> None:
    before = files_of(project)
    command = [sys.executable, "-c", KILLED, str(project), "place", "3"]
    assert subprocess.run(command, check=False).returncode == 9
    assert cli("set", "ci=none", "--project", project, "--dry-run").exit_code == 0
    assert files_of(project) != before
    done = cli("set", "ci=none", "--project", project)
    assert (done.exit_code, files_of(project)) == (0, before)
    assert done.stdout.startswith(f"{project}: an addition that was interrupted has been undone\n")


DIGEST = f"file - {hashlib.sha256(b'theirs').hexdigest()}"


@pytest.mark.parametrize(
    ("journal", "link"),
    [
        ({"files": {"../new": ""}, "folders": [], "replaced": ["../new"]}, ""),
        ({"files": {"../new": DIGEST}, "folders": [], "replaced": ["../new"]}, ""),
        ({"files": {"../theirs": DIGEST}, "folders": [], "replaced": []}, ""),
        ({"files": {".git/hooks/x": DIGEST}, "folders": [], "replaced": [".git/hooks/x"]}, ""),
        ({"files": {"theirs": DIGEST}, "folders": [], "replaced": ["theirs"]}, "old"),
        ({"files": {"name.txt": DIGEST}, "folders": [], "replaced": []}, "gone"),
        ({"files": {}, "folders": ["../empty"], "replaced": []}, ""),
        ({"files": []}, ""),
        ("no journal", ""),
    ],
    ids=str,
)
def test_a_project_of_somebody_cannot_have_files_moved_elsewhere(
    journal: object, link: str, foreign: Path
) -> None:
    outside = foreign.parent / "outside"
    (outside / "empty").mkdir(parents=True)
    project = shutil.copytree(foreign, outside / "toy")
    (project / "name.txt").write_text("theirs")
    (outside / "theirs").write_text("theirs")
    state = project / ".mlscaffold-add"
    for name in ("new", "old/.git/hooks/x", "old/theirs"):
        (state / name).parent.mkdir(parents=True, exist_ok=True)
        (state / name).write_text("evil")
    if link:
        shutil.rmtree(state / link, ignore_errors=True)
        (state / link).symlink_to(outside)
    (state / "journal.json").write_text(json.dumps(journal))
    before = snapshot(outside)
    done = cli("add", "page", "report", "--project", project)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (f"error: {state} was not left by `mlscaffold add`: move it away first\n")
    assert snapshot(outside) == before


def test_the_folder_of_the_state_is_no_link(foreign: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (foreign / ".mlscaffold-add").symlink_to(tmp_path / "outside")
    before = snapshot(tmp_path)
    done = cli("add", "page", "report", "--project", foreign)
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert snapshot(tmp_path) == before


def test_a_file_that_changes_meanwhile_is_kept(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, works = files_of(project), addition.write

    def late(*arguments: Any, **options: Any) -> None:
        (project / "dvc.yaml").write_text("mine\n")
        works(*arguments, **options)

    monkeypatch.setattr(addition, "write", late)
    done = cli("add", "stage", "report", "--project", project)
    assert (done.exit_code, done.stderr) == (
        1,
        "error: dvc.yaml has just changed, or a program has it open: try again\n",
    )
    (project / "dvc.yaml").write_bytes(before["dvc.yaml"][1])
    assert files_of(project) == before


def test_two_at_a_time_are_refused(project: Path) -> None:
    with addition.locked(project), pytest.raises(ConcurrentUpdateError):
        add(project, "model", "lstm")
