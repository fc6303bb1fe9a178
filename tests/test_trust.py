"""Templates that run code: refused, or with --trust run as copier runs them."""

import json
from pathlib import Path

import pytest
from evolving import template_of
from templates import git
from toys import cli, snapshot

BASIC = "a: x\n_subdirectory: template\n"
TASK = "_tasks: ['echo task {{ a }} {{ _copier_operation }} >> log; env > env.txt']\n"
MIGRATIONS = """\
_migrations:
  - version: v2
    command: 'echo {{ _stage }} $VERSION_FROM $VERSION_TO >> log; echo said'
    when: "true"
"""
EXTENSION = "_jinja_extensions: [jinja2.ext.do]\n"
LOGGED = {".gitignore": "env.txt\n", "log": "made\n"}


def template_with(folder: Path, first: str, second: str) -> Path:
    """A template with two releases; what they add to copier.yml is given."""
    changes = {"v1": LOGGED, "v2": {"new.txt": "new\n"}}
    questions = {"v1": BASIC + first, "v2": BASIC + second}
    return template_of(folder, changes, questions=questions)


def project_of(template: Path, at: Path, *options: str, release: str = "v1") -> Path:
    """A project of a release."""
    done = cli("new", at, f"--template={template}", f"--ref={release}", "--no-lock", *options)
    assert done.exit_code == 0, done.output
    return at


@pytest.mark.parametrize(
    ("settings", "feature"), [(TASK, "tasks"), (EXTENSION, "jinja_extensions")]
)
def test_a_template_runs_nothing_unless_it_is_trusted(
    settings: str, feature: str, tmp_path: Path
) -> None:
    template = template_with(tmp_path / "template", "", settings)
    toy = project_of(template, tmp_path / "toy")
    before = snapshot(tmp_path)
    line = (
        "error: the template can't be rendered: Template uses potentially unsafe feature: "
        f"{feature}; --trust allows that\n"
    )
    for command in (("update", toy), ("new", tmp_path / "b", f"--template={template}")):
        done = cli(*command)
        assert (done.exit_code, done.output) == (1, line)
    assert snapshot(tmp_path) == before
    assert cli("options", f"--template={template}").exit_code == 0


def test_the_tasks_of_a_new_project_are_part_of_its_first_commit(tmp_path: Path) -> None:
    template = template_with(tmp_path / "template", TASK, TASK)
    toy = project_of(template, tmp_path / "toy", "--trust")
    assert (toy / "log").read_text() == "made\ntask x copy\n"
    environment = (toy / "env.txt").read_text().splitlines()
    assert f"PWD={toy}" in environment
    # The commands have the user's own settings of git.
    assert not [line for line in environment if line.startswith("GIT_CONFIG_")]
    assert git(toy, "status", "--short") == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["template", "toy"]


def test_a_task_that_fails_leaves_nothing(tmp_path: Path) -> None:
    template = template_with(tmp_path / "template", "_tasks: ['touch made', 'false']\n", TASK)
    command = ("new", tmp_path / "toy", f"--template={template}", "--ref=v1", "--no-lock")
    done = cli(*command, "--trust")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.endswith(
        "\nerror: a command of the template failed: "
        "Command 'false' returned non-zero exit status 1.\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["template"]


def test_tasks_and_migrations_follow_an_update(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    template = template_with(tmp_path / "template", "", TASK + MIGRATIONS)
    toy = project_of(template, tmp_path / "toy")
    done = cli("update", toy, "--trust", "--json")
    assert (done.exit_code, json.loads(done.stdout)[0]["outcome"]) == (0, "updated")
    assert capfd.readouterr().out == ""
    assert (toy / "log").read_text() == "made\nbefore v1 v2\ntask x update\nafter v1 v2\n"
    assert git(toy, "status", "--short").split() == [
        *("M", ".copier-answers.yml", "M", "log", "A", "new.txt")
    ]
    git(toy, "commit", "--quiet", "--all", "--message=x")
    assert cli("set", "a=y", "--project", toy, "--trust").exit_code == 0
    assert (toy / "log").read_text().endswith("after v1 v2\ntask y update\n")


def test_nothing_is_run_for_a_look(tmp_path: Path) -> None:
    template = template_with(tmp_path / "template", "", TASK + MIGRATIONS)
    toy = project_of(template, tmp_path / "toy")
    before = snapshot(toy)
    assert cli("update", toy, "--trust", "--dry-run").exit_code == 0
    assert cli("diff", toy, "--trust").output == ""
    assert snapshot(toy) == before
    for options in (["--branch=b"], [str(tmp_path / "other")]):
        assert cli("update", toy, "--trust", *options).exit_code == 2


def test_a_command_that_fails_after_an_update_is_told_apart(tmp_path: Path) -> None:
    template = template_with(tmp_path / "template", "", "_migrations: ['false']\n")
    toy = project_of(template, tmp_path / "toy")
    done = cli("update", toy, "--trust")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == (
        f"error: {toy} is updated, but then a command of the template failed: "
        "Command 'false' returned non-zero exit status 1."
    )
    assert (toy / "new.txt").exists()


def test_a_trusted_extension_renders(tmp_path: Path) -> None:
    settings = EXTENSION + 'b: "{% set l = [] %}{% do l.append(a) %}{{ l[0] }}"\n'
    template = template_with(tmp_path / "template", settings, settings)
    toy = project_of(template, tmp_path / "toy", "--trust", "-da=word")
    assert "\nb: word\n" in (toy / ".copier-answers.yml").read_text()
    assert cli("diff", toy, "--trust").output == ""
    assert cli("update", toy, "--trust").exit_code == 0


def test_migrations_run_where_no_file_changes(tmp_path: Path) -> None:
    template = template_with(tmp_path / "template", "_migrations: ['touch ran']\n", "")
    # As under copier, of two tags at one commit the same one is recorded.
    git(template, "tag", "v1.1", "v1")
    toy = project_of(template, tmp_path / "toy")
    assert cli("update", toy, "--to=v1.1", "--trust", "--dry-run").exit_code == 0
    assert not (toy / "ran").exists()
    assert cli("update", toy, "--to=v1.1", "--trust").exit_code == 0
    assert (toy / "ran").exists()
