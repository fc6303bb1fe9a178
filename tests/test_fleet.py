"""Many projects at a time: rows as they come, nobody stopped by another, renders shared."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from evolving import evolving_template, template_of
from templates import commit, commit_template, git

from mlscaffold.fleet import update_all
from mlscaffold.new import new
from mlscaffold.update import UpdateRequest

MLSCAFFOLD = (sys.executable, "-m", "mlscaffold")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A template with five releases."""
    return evolving_template(tmp_path_factory.mktemp("template") / "template")


@pytest.fixture(scope="module")
def pristine(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of its first release."""
    return made(tmp_path_factory.mktemp("pristine") / "toy", template, "v1.0.0")


@pytest.fixture
def repos(pristine: Path, tmp_path: Path) -> Path:
    """A folder with the projects a and b, which share their answers, and what is no project."""
    (tmp_path / "notes").mkdir()
    (tmp_path / "todo.txt").write_text("nothing\n")
    for name in ("a", "b"):
        shutil.copytree(pristine, tmp_path / name, symlinks=True)
    return tmp_path


def made(folder: Path, template: Path, ref: str, **answers: str) -> Path:
    """A new project, committed."""
    new(str(folder), given=answers, template=str(template), ref=ref, with_lock=False)
    return folder


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The finished command."""
    command = [*MLSCAFFOLD, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=200)


def break_answers(project: Path) -> None:
    """Leaves the project without answers that can be read."""
    (project / ".copier-answers.yml").write_text("- a list\n")


@contextmanager
def silent_server() -> Generator[tuple[str, threading.Event]]:
    """The URL of a server that answers 404, and only once the event is set."""
    go_on = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            go_on.wait(60)
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/template.git", go_on
        finally:
            go_on.set()
            server.shutdown()


def test_one_that_fails_stops_no_other(repos: Path) -> None:
    break_answers(repos / "a")
    done = run("update", "a", "b", "notes", "todo.txt", "--to=v1.1.0", cwd=repos)
    assert done.stdout == (
        f"a: failed: {repos}/a/.copier-answers.yml must hold answers by name\n"
        "b: v1.0.0 to v1.1.0: 4 changed, 1 added; staged, not committed\n"
        "notes: skipped: no generated project\n"
        "todo.txt: skipped: no generated project\n"
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert "main improved 5\n" in (repos / "b" / "src" / "main.py").read_text()


def test_the_exit_code_is_that_of_the_worst(repos: Path) -> None:
    assert run("update", "notes", "todo.txt", cwd=repos).returncode == 0
    main = repos / "a" / "src" / "main.py"
    main.write_text(main.read_text().replace("main line 5\n", "mine\n"))
    commit(repos / "a")
    done = run("update", "a", "b", "notes", "--to=v1.1.0", "--json", cwd=repos)
    assert done.returncode == 3
    rows = json.loads(done.stdout)
    assert [(row["project"], row["outcome"]) for row in rows] == [
        ("a", "conflicts"),
        ("b", "updated"),
        ("notes", "skipped"),
    ]
    assert rows[0]["conflicts"] == {"src/main.py": "both changed it"}
    break_answers(repos / "b")
    assert run("update", "a", "b", "notes", cwd=repos).returncode == 1


def test_check_skips_what_is_no_project_among_several(repos: Path) -> None:
    done = run("check", "a", "notes", "todo.txt", cwd=repos)
    assert done.stdout == (
        "a: outdated: v1.0.0 is followed by v3.0.0\n"
        "notes: skipped: no generated project\n"
        "todo.txt: skipped: no generated project\n"
    )
    assert (done.returncode, done.stderr) == (4, "")
    assert run("check", "notes", "todo.txt", cwd=repos).returncode == 0
    break_answers(repos / "b")
    assert run("check", "a", "b", "notes", cwd=repos).returncode == 1
    alone = run("check", "notes", cwd=repos)
    assert alone.stdout == (
        "notes: unreadable: notes is no generated project: no .copier-answers.yml\n"
    )
    assert alone.returncode == 1


@pytest.mark.parametrize("verb", ["check", "update"])
def test_rows_come_as_they_are_ready(verb: str, repos: Path) -> None:
    answers = repos / "b" / ".copier-answers.yml"
    with silent_server() as (url, go_on):
        answers.write_text(f"_src_path: {url}\n_commit: v1.0.0\n")
        command = [*MLSCAFFOLD, verb, "a", "b"]
        with subprocess.Popen(command, cwd=repos, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            assert process.stdout.readline().startswith("a: ")
            assert process.poll() is None
            go_on.set()
            assert process.stdout.readline().startswith("b: ")
            assert process.wait(60) == 1


def test_a_render_is_shared_by_all_with_the_same_answers(tmp_path: Path) -> None:
    template = commit_template(tmp_path / "template", tag="v1.0.0")
    number = "{{ range(99999) | random }}"
    (template / "template" / "chance.txt.jinja").write_text(f"{number} {number} {number}\n")
    toy = made(tmp_path / "toy", template, "v1.0.0", project_name="toy")
    commit(template, tag="v2.0.0")
    names = [shutil.copytree(toy, tmp_path / name).name for name in "abcd"]
    made(tmp_path / "other", template, "v1.0.0", project_name="other")
    done = run("update", *names, "other", "--jobs=4", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    drawn = {name: (tmp_path / name / "chance.txt").read_text() for name in (*names, "other")}
    assert len({drawn[name] for name in names}) == 1
    assert drawn["other"] != drawn["a"]


@pytest.mark.parametrize("jobs", ["1", "8"])
def test_projects_of_one_repository_take_turns(jobs: str, pristine: Path, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    names = ["apps/a", "apps/b", "c"]
    for name in names:
        shutil.copytree(pristine, tmp_path / name, symlinks=True)
        shutil.rmtree(tmp_path / name / ".git")
    commit(tmp_path)
    arguments = ("--to=v1.1.0", f"--jobs={jobs}")
    done = run("update", *names, "--branch=template", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert git(tmp_path, "status", "--porcelain") == ""
    assert git(tmp_path, "rev-list", "--count", "main..template") == "3"
    done = run("update", *names, "--commit", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert git(tmp_path, "status", "--porcelain") == ""
    assert git(tmp_path, "diff", "--stat", "main", "template") == ""
    again = run("update", *names, "--branch=template", *arguments, cwd=tmp_path)
    assert again.stdout.count("nothing to do at v1.1.0") == 3


def test_a_branch_of_somebody_else_is_left_alone(repos: Path) -> None:
    git(repos / "a", "branch", "template")
    commit(repos / "a")
    before = git(repos / "a", "rev-parse", "template")
    done = run("update", "a", "b", "--branch=template", cwd=repos)
    assert done.returncode == 1
    first, second = sorted(done.stdout.splitlines())
    assert first == f"a: failed: the branch template exists in {repos}/a: name another"
    assert second.startswith("b: v1.0.0 to v3.0.0: ")
    assert git(repos / "a", "rev-parse", "template") == before


def test_eight_at_a_time_come_out_as_one_at_a_time(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with answers of its own, so that renders and merges are at work side by side."""
    names = [f"toy-{number}" for number in range(8)]
    for name in names:
        made(tmp_path / "together" / name, template, "v1.0.0")
    shutil.copytree(tmp_path / "together", tmp_path / "alone", symlinks=True)
    monkeypatch.chdir(tmp_path / "together")
    rows = list(update_all([Path(name) for name in names], UpdateRequest(to="v2.1.0"), jobs=8))
    assert {str(row.project) for row in rows} == set(names)
    assert {row.problem for row in rows} == {""}
    monkeypatch.chdir(tmp_path / "alone")
    assert len(list(update_all([Path(name) for name in names], UpdateRequest(to="v2.1.0")))) == 8
    for name in names:
        together, alone = (git(tmp_path / at / name, "write-tree") for at in ("together", "alone"))
        assert together == alone
        assert git(tmp_path / "together" / name, "diff", "--name-only") == ""


def test_one_more_project_of_a_fleet_costs_few_processes_of_git(tmp_path: Path) -> None:
    template = template_of(
        tmp_path / "template", {"v1.0.0": {"a.txt": "1\n"}, "v2.0.0": {"a.txt": "2\n"}}
    )
    first = made(tmp_path / "0", template, "v1.0.0")
    for number in (1, 2):
        shutil.copytree(first, tmp_path / str(number), symlinks=True)
    log, counting = tmp_path / "log", tmp_path / "bin" / "git"
    counting.parent.mkdir()
    counting.write_text(f'#!/bin/sh\necho >>"{log}"\nexec "{shutil.which("git")}" "$@"\n')
    counting.chmod(0o755)

    def processes(*projects: str) -> int:
        log.write_text("")
        path = f"{counting.parent}{os.pathsep}{os.environ['PATH']}"
        command = [*MLSCAFFOLD, "update", "--dry-run", *projects]
        subprocess.run(command, cwd=tmp_path, env={**os.environ, "PATH": path}, check=True)
        return len(log.read_text())

    processes("0")  # renders both releases, for all
    # Four of the project, and four in the sandbox of its template.
    assert processes("0", "1", "2") - processes("0", "1") <= 8
