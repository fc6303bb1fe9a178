"""Projects made from a checkout that no tag names, and what becomes of them once one does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from templates import ROOT, commit, commit_template, copy_checkout, git

URL = "https://github.com/mlscaffold/mlscaffold.git"
LATER = "\n# Of a later commit.\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clone of this repository with one commit and no tag."""
    return copy_checkout(tmp_path / "mlscaffold")


def run(checkout: Path, *arguments: str, cwd: Path, code: int = 0) -> str:
    """What mlscaffold printed that runs from a checkout; fails unless it exits with `code`."""
    done = subprocess.run(
        [sys.executable, "-m", "mlscaffold", *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(checkout / "src")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def made(checkout: Path) -> Path:
    """A project of the checkout, with a change of its user's committed."""
    project = checkout.parent / "toy"
    run(checkout, "new", str(project), "--no-lock", cwd=checkout.parent)
    readme = project / "README.md"
    readme.write_text(readme.read_text() + "\nMy own line.\n")
    commit(project)
    return project


def change(checkout: Path) -> None:
    """A change of the template, not committed."""
    with (checkout / "template" / "Makefile.jinja").open("a") as makefile:
        makefile.write(LATER)


def recorded(project: Path) -> str:
    """The release that the project records."""
    return yaml.safe_load((project / ".copier-answers.yml").read_text())["_commit"]


def require_both_changes(project: Path) -> None:
    """The user's change is there and the template's, once each."""
    assert (project / "README.md").read_text().endswith("\nMy own line.\n")
    assert (project / "Makefile").read_text().count(LATER) == 1
    changed = {line.split()[-1] for line in git(project, "status", "--porcelain").splitlines()}
    assert changed == {".copier-answers.yml", "Makefile"}


def test_a_project_of_an_untagged_checkout_follows_its_commits_and_tags(checkout: Path) -> None:
    project = made(checkout)
    base = git(checkout, "rev-parse", "HEAD")
    assert recorded(project) == git(checkout, "describe", "--tags", "--always")
    assert base.startswith(recorded(project))
    assert run(checkout, "check", cwd=project) == f".: current ({recorded(project)})\n"
    change(checkout)
    commit(checkout)
    following = git(checkout, "rev-parse", "--short", "HEAD")
    assert run(checkout, "check", cwd=project, code=4) == (
        f".: outdated: {recorded(project)} is followed by {following}\n"
    )
    run(checkout, "update", cwd=project)
    assert recorded(project) == following
    require_both_changes(project)
    commit(project)
    commit(checkout, tag="v0.1.0")
    said = run(checkout, "update", cwd=project)
    assert said.startswith(f".: {following} to v0.1.0: ")
    assert recorded(project) == "v0.1.0"
    assert run(checkout, "check", cwd=project) == ".: current (v0.1.0)\n"


def test_changes_that_are_not_committed_are_rendered_and_merge_later(checkout: Path) -> None:
    change(checkout)
    project = made(checkout)
    assert (project / "Makefile").read_text().count(LATER) == 1
    assert recorded(project) == git(checkout, "rev-parse", "--short", "HEAD")
    commit(checkout, tag="v0.1.0")
    run(checkout, "update", cwd=project)
    assert (project / "Makefile").read_text().count(LATER) == 1
    assert (project / "README.md").read_text().endswith("\nMy own line.\n")
    assert recorded(project) == "v0.1.0"


def test_a_project_of_a_commit_after_a_release_is_not_taken_back_to_it(checkout: Path) -> None:
    git(checkout, "tag", "v0.1.0")
    change(checkout)
    commit(checkout)
    project = made(checkout)
    release = git(checkout, "describe", "--tags")
    assert recorded(project) == release and release.startswith("v0.1.0-1-g")
    git(checkout, "checkout", "--quiet", "v0.1.0")
    assert run(checkout, "update", cwd=project) == f".: nothing to do at {release}\n"
    assert run(checkout, "check", cwd=project) == f".: current ({release})\n"
    assert run(checkout, "update", "--to=v0.1.0", cwd=project, code=1) == (
        f"error: . has release {release}, which is newer than v0.1.0\n"
    )


def test_a_release_that_no_commit_bears_says_how_to_continue(checkout: Path) -> None:
    project = made(checkout)
    answers = project / ".copier-answers.yml"
    base = recorded(project)
    answers.write_text(answers.read_text().replace(base, "v0.1.dev141"))
    commit(project)
    commit(checkout, tag="v0.1.0")
    for command in (["update"], ["diff"], ["set", "ci=none"]):
        assert run(checkout, *command, cwd=project, code=1) == (
            f"error: {URL} has no release 'v0.1.dev141' here; it has v0.1.0; set _commit in "
            ".copier-answers.yml to the commit of the template that made this project, commit "
            "that, and run the command again\n"
        )
    answers.write_text(answers.read_text().replace("v0.1.dev141", base))
    commit(project)
    run(checkout, "update", cwd=project)
    assert recorded(project) == "v0.1.0"


def test_copier_updates_it_too(checkout: Path, tmp_path: Path) -> None:
    project = made(checkout)
    change(checkout)
    commit(checkout, tag="v0.1.0")
    env = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{checkout}.insteadOf",
        "GIT_CONFIG_VALUE_0": URL,
        "COPIER_CACHE_DIR": str(tmp_path / "cache"),
    }
    command = [sys.executable, "-m", "copier", "update", "--defaults", "--quiet"]
    subprocess.run(command, cwd=project, env=os.environ | env, check=True, timeout=300)
    assert recorded(project) == "v0.1.0"
    require_both_changes(project)


def test_a_template_of_somebody_else_without_tags_is_updated_to_its_first(tmp_path: Path) -> None:
    template = commit_template(tmp_path / "fork", files={"a.txt": "1\n2\n3\n4\n5\n6\n"})
    project = tmp_path / "toy"
    run(ROOT, "new", "toy", f"--template={template}", "--no-lock", cwd=tmp_path)
    base = recorded(project)
    assert base == git(template, "rev-parse", "--short", "HEAD")
    (project / "a.txt").write_text("mine\n2\n3\n4\n5\n6\n")
    commit(project)
    (template / "template" / "a.txt").write_text("1\n2\n3\n4\n5\ntheirs\n")
    commit(template, tag="v1.0.0")
    assert run(ROOT, "check", cwd=project, code=4) == (
        f".: outdated: {base} is followed by v1.0.0\n"
    )
    run(ROOT, "update", cwd=project)
    assert (project / "a.txt").read_text() == "mine\n2\n3\n4\n5\ntheirs\n"


@pytest.mark.slow
def test_a_sync_after_a_tag_installs_its_version(checkout: Path) -> None:
    def version() -> str:
        path = f"{os.environ['PATH']}{os.pathsep}{Path(sys.executable).parent}"
        env = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
        # What `make setup` runs, without the time to install and compile what tests need.
        command = ["uv", "sync", "--quiet", "--inexact", "--no-dev"]
        subprocess.run(command, cwd=checkout, env=env | {"PATH": path}, check=True)
        command = [str(checkout / ".venv" / "bin" / "mlscaffold"), "--version"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert version().startswith("0.1.dev1+g")
    git(checkout, "tag", "v0.1.0")
    assert version() == "0.1.0\n"
