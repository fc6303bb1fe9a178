"""Looking at projects: how their release stands, and what works on this machine."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from conftest import Render
from templates import commit, commit_template, git

from mlscaffold.check import Standing, check
from mlscaffold.doctor import Finding, State, doctor
from mlscaffold.errors import ProjectError
from mlscaffold.new import new

COMPONENTS = """\
_environment:
  setup: make everything
size:
  3:
    server:
      variable: SIZE_URI
      path: /health
      without: sizes are kept on this machine
"""


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A template with the release v0.1.0."""
    return commit_template(tmp_path / "fork", tag="v0.1.0", components=COMPONENTS)


@pytest.fixture
def toy(template: Path, tmp_path: Path) -> Path:
    """A project made by it."""
    new(str(tmp_path / "toy"), given={}, template=str(template), with_lock=False)
    return tmp_path / "toy"


def command(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """The finished command."""
    return subprocess.run(
        [sys.executable, "-m", "mlscaffold", *arguments],
        cwd=cwd,
        env=os.environ | env,
        capture_output=True,
        text=True,
        timeout=200,
    )


def test_a_project_is_current_then_outdated(toy: Path, template: Path) -> None:
    assert command("check", cwd=toy).stdout == ".: current (v0.1.0)\n"
    commit(template, tag="v0.10.0")
    done = command("check", cwd=toy)
    assert (done.returncode, done.stdout) == (
        4,
        ".: outdated: v0.1.0 is followed by v0.10.0\n",
    )


def test_many_projects_are_checked_though_one_is_none(toy: Path, tmp_path: Path) -> None:
    done = command("check", "toy", "fork", "--json", cwd=tmp_path)
    assert done.returncode == 0
    assert json.loads(done.stdout) == [
        {
            "project": "toy",
            "standing": "current",
            "release": "v0.1.0",
            "latest": "v0.1.0",
            "problem": "",
        },
        {
            "project": "fork",
            "standing": "skipped",
            "release": "",
            "latest": "",
            "problem": "no generated project",
        },
    ]


def test_a_project_of_an_unknown_commit_has_nothing_to_compare(tmp_path: Path) -> None:
    template = commit_template(tmp_path / "fork")
    new(str(tmp_path / "toy"), given={}, template=str(template), with_lock=False)
    (checked,) = check([tmp_path / "toy"])
    assert checked.standing is Standing.CURRENT
    git(template, "commit", "--quiet", "--amend", "--message=Another history")
    (checked,) = check([tmp_path / "toy"])
    assert checked.standing is Standing.UNRELEASED


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- a list\n", "must hold answers by name"),
        ("a: [\n", "can't be read in line 2: "),
        ("name: toy\n", "its release in _commit; _src_path is missing"),
    ],
)
def test_a_broken_answers_file_is_one_line(text: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / ".copier-answers.yml").write_text(text)
    (checked,) = check([tmp_path])
    assert checked.standing is Standing.UNREADABLE
    assert problem in checked.problem
    assert "\n" not in checked.problem


def test_doctor_looks_at_the_machine_where_there_is_no_project(tmp_path: Path) -> None:
    done = command("doctor", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert [line.split()[1] for line in done.stdout.splitlines()] == ["git:", "uv:", "Python:"]


def test_doctor_names_the_command_that_fixes_it(toy: Path) -> None:
    done = command("doctor", str(toy), cwd=toy.parent, UV_PROJECT_ENVIRONMENT=".venv")
    assert done.returncode == 1
    python = toy / ".venv" / "bin" / "python"
    assert f"broken    environment: no {python}\n          fix: make everything\n" in done.stdout


def test_doctor_of_a_folder_that_is_no_project(tmp_path: Path) -> None:
    with pytest.raises(ProjectError):
        doctor(tmp_path)


def test_doctor_finds_torch_and_the_remote_of_a_real_project(
    project: Path, project_env: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UV_PROJECT_ENVIRONMENT", raising=False)
    (project / ".venv").symlink_to(project_env)
    (project / ".gitignore").write_text("/.venv\n")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    found = by_subject(doctor(project))
    assert found["torch"].state is State.WORKS
    assert " on " in found["torch"].detail
    assert found["DVC remote"].state is State.ABSENT
    assert found["tracking"].state is State.WORKS

    (tmp_path / "storage").mkdir()
    dvc = [str(project_env / "bin" / "dvc"), "remote", "add", "--default", "store"]
    subprocess.run([*dvc, str(tmp_path / "storage")], cwd=project, check=True, capture_output=True)
    assert by_subject(doctor(project))["DVC remote"].state is State.WORKS
    (tmp_path / "storage").rmdir()
    assert by_subject(doctor(project))["DVC remote"].state is State.BROKEN


def test_doctor_asks_a_server_that_the_environment_names(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Health)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("SIZE_URI", f"http://ada:secret@127.0.0.1:{server.server_port}")
    answering = by_subject(doctor(toy))["size"]
    server.shutdown()
    server.server_close()
    silent = by_subject(doctor(toy))["size"]
    assert (answering.state, silent.state) == (State.WORKS, State.BROKEN)
    assert "secret" not in answering.detail + silent.detail


def test_doctor_says_nothing_of_tracking_where_nothing_is_tracked(render: Render) -> None:
    assert "tracking" not in by_subject(doctor(render(tracking="none")))


def test_doctor_looks_for_a_key_where_weights_and_biases_tracks(
    render: Render, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = render(tracking="wandb")
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    without = by_subject(doctor(project))["tracking"]
    assert (without.state, without.detail) == (State.BROKEN, "no key for Weights & Biases")
    assert without.fix == "wandb login, or without an account: export WANDB_MODE=offline"
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password secret\n")
    known = by_subject(doctor(project))["tracking"]
    assert known.state is State.WORKS and "secret" not in known.detail
    (tmp_path / "netrc").unlink()
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert by_subject(doctor(project))["tracking"].state is State.WORKS


def by_subject(findings: list[Finding]) -> dict[str, Finding]:
    """The findings by what they are about."""
    return {finding.subject: finding for finding in findings}
