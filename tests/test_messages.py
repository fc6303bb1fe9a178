"""What is said of values in another case, of what is not there, and of one thing or many."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from templates import COPIER_YML, commit, commit_template
from toys import Toys, cli

from mlscaffold.errors import AnswerError
from mlscaffold.rendering.questions import Choice, Question


@pytest.mark.parametrize("value", ["MLflow", "MLFLOW", "mlflow"])
def test_a_choice_is_accepted_in_any_case(value: str, tmp_path: Path) -> None:
    arguments = ("--no-lock", "--no-git", "--preset=Minimal", "-d", "license=MIT")
    done = cli("new", tmp_path / "toy", *arguments, "-d", f"tracking={value}")
    assert done.exit_code == 0, done.output
    answers = yaml.safe_load((tmp_path / "toy" / ".copier-answers.yml").read_text())
    assert (answers["tracking"], answers["license"]) == ("mlflow", "mit")
    assert answers["serving"] == "none"


def test_a_choice_in_another_case_is_no_change(toys: Toys, tmp_path: Path) -> None:
    project = toys.make(tmp_path / "toy")
    done = cli("set", "store=Files", "--project", project)
    assert done.output == f"{project}: nothing to do at v1.0.0\n"


def test_choices_that_differ_in_case_alone_are_told_apart() -> None:
    question = Question(name="size", choices=(Choice(value="xl"), Choice(value="XL")))
    assert (question.parse("xl"), question.parse("XL")) == ("xl", "XL")
    with pytest.raises(AnswerError, match="size must be one of xl, XL; got 'Xl'"):
        question.parse("Xl")


@pytest.mark.parametrize(
    "arguments",
    [["update"], ["update", "--abort"], ["update", "--continue"], ["diff"], ["doctor"]],
)
def test_a_folder_that_is_not_there_is_called_missing(arguments: list[str], tmp_path: Path) -> None:
    done = cli(*arguments, tmp_path / "no")
    assert (done.exit_code, done.output) == (1, f"error: {tmp_path}/no does not exist\n")
    (tmp_path / "file").touch()
    done = cli(*arguments, tmp_path / "file")
    assert (done.exit_code, done.output) == (1, f"error: {tmp_path}/file is not a folder\n")


def test_a_project_that_is_not_there_is_called_missing(toys: Toys, tmp_path: Path) -> None:
    done = cli("set", "ci=none", "--project", tmp_path / "no")
    assert (done.exit_code, done.output) == (1, f"error: {tmp_path}/no does not exist\n")
    done = cli("check", tmp_path / "no")
    assert (done.exit_code, done.output) == (
        1,
        f"{tmp_path}/no: unreadable: {tmp_path}/no does not exist\n",
    )
    project = toys.make(tmp_path / "toy", release="v3.0.0")
    assert (
        f"{tmp_path}/no: skipped: it does not exist\n"
        in cli("check", project, tmp_path / "no").output
    )
    assert (
        f"{tmp_path}/no: skipped: it does not exist\n"
        in cli("update", project, tmp_path / "no").output
    )


@pytest.mark.parametrize("template", ["./nowhere", "/nowhere/at/all", "~/nowhere", "nowhere"])
def test_a_template_that_is_not_there_is_called_missing(template: str, tmp_path: Path) -> None:
    for command in ("new", "options"):
        arguments = (tmp_path / "toy", "--no-lock") if command == "new" else ()
        done = cli(command, *arguments, f"--template={template}")
        assert (done.exit_code, done.output) == (
            1,
            f"error: the template {template!r} does not exist\n",
        )


def test_one_file_is_no_files(tmp_path: Path) -> None:
    template = commit_template(tmp_path / "fork", tag="v1.0.0")
    (template / "copier.yml").write_text(COPIER_YML.replace("[.git]", "[.git, name.txt]"))
    commit(template, tag="v1.0.1")
    arguments = ("--no-lock", f"--template={template}")
    assert " v1.0.1: 1 file.\n" in cli("new", tmp_path / "one", *arguments).output
    assert " v1.0.0: 2 files.\n" in cli("new", tmp_path / "two", *arguments, "--ref=v1.0.0").output


def test_one_conflict_is_resolved_as_one(tmp_path: Path) -> None:
    template = commit_template(tmp_path / "fork", tag="v1.0.0", files={"a": "1\n", "b": "1\n"})
    for name, files in (("one", "a"), ("two", "ab")):
        cli("new", tmp_path / name, "--no-lock", f"--template={template}")
        for file in files:
            (tmp_path / name / file).write_text("mine\n")
        commit(tmp_path / name)
    for file in "ab":
        (template / "template" / file).write_text("theirs\n")
    commit(template, tag="v1.1.0")
    assert "\nResolve it (git status lists it), then: " in cli("update", tmp_path / "one").output
    assert (
        "\nResolve them (git status lists them), then: " in cli("update", tmp_path / "two").output
    )


def test_python_runs_it_as_a_module(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mlscaffold", "--version"]
    assert subprocess.run(command, cwd=tmp_path).returncode == 0
