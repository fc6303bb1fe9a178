"""Updates that are committed: on the branch that is checked out, or beside it."""

import json
from pathlib import Path

import pytest
from evolving import template_of
from templates import commit, git
from toys import Toys, cli, committed, edit, files_of, snapshot, status

from mlscaffold.errors import AnswerError, ProjectError


@pytest.fixture
def toy(toys: Toys, tmp_path: Path) -> Path:
    """A project of the first release."""
    return toys.make(tmp_path / "toy")


def test_a_branch_is_made_beside_the_working_tree(toys: Toys, toy: Path) -> None:
    edit(toy / "src" / "main.py", ("main line 20\n", "mine\n"))
    head = committed(toy)
    (toy / "src" / "main.py").write_text("not committed\n")
    (toy / "staged.txt").write_text("staged\n")
    git(toy, "add", "staged.txt")
    before = files_of(toy), (toy / ".git" / "index").read_bytes()
    done = cli("update", toy, "--branch", "template-3")
    assert done.exit_code == 0, done.stderr
    commit = git(toy, "rev-parse", "template-3")
    assert done.stdout == (
        f"{toy}: v1.0.0 to v3.0.0: 8 changed, 6 added, 5 deleted; "
        f"committed as {commit[:12]} on template-3\n"
    )
    assert (files_of(toy), (toy / ".git" / "index").read_bytes()) == before
    assert git(toy, "rev-parse", "HEAD", "template-3^") == f"{head}\n{head}"
    assert git(toy, "symbolic-ref", "HEAD") == "refs/heads/main"
    assert "staged.txt" not in git(toy, "ls-tree", "-r", "--name-only", "template-3")
    main = git(toy, "show", "template-3:src/main.py").splitlines()
    assert (main[5], main[20]) == ("main again 5", "mine")


def test_conflicts_are_committed_on_a_branch(toys: Toys, toy: Path) -> None:
    edit(toy / "src" / "main.py", ("main line 5\n", "mine\n"))
    edit(toy / "src" / "legacy.py", ("legacy line 1\n", "mine\n"))
    commit(toy)
    before = files_of(toy)
    done = cli("update", toy, "--to=v2.0.0", "--branch=next", "--json")
    assert done.exit_code == 3
    assert files_of(toy) == before
    assert status(toy) == []
    assert json.loads(done.stdout)[0]["conflicts"] == {
        "src/legacy.py": "you changed what the template removed",
        "src/main.py": "both changed it",
    }
    tree = git(toy, "rev-parse", "next^{tree}")
    assert git(toy, "log", "-1", "--format=%B", "next") == (
        "Update from the template's release v1.0.0 to v2.0.0\n"
        "\n"
        "Conflicts, to be resolved before this is merged:\n"
        "\n"
        "- `src/legacy.py`: you changed what the template removed\n"
        "- `src/main.py`: both changed it\n"
        "\n"
        "Files: 5 changed, 5 added, 3 deleted, 2 in conflict.\n"
        "\n"
        "- changed: `.copier-answers.yml`, `crlf.txt`, `latest`, `logo.bin`, `run.sh`\n"
        "- added: `colour.txt`, `guide/one.md`, `guide/two.md`, `src/extra.py`, `src/toolbox.py`\n"
        "- deleted: `docs/one.md`, `docs/two.md`, `src/tools.py`\n"
        "\n"
        "Mlscaffold-Tree-Answers: .copier-answers.yml\n"
        f"Mlscaffold-Tree: {tree}"
    )
    assert "<<<<<<< yours\nmine\n" in git(toy, "show", "next:src/main.py")
    assert "mine" in git(toy, "show", "next:src/legacy.py")
    assert not (toy / ".git" / "mlscaffold-update").exists()


def test_an_empty_name_for_a_branch_is_wrong_usage(toy: Path) -> None:
    before = snapshot(toy)
    done = cli("update", toy, "--branch", "")
    assert done.exit_code == 2
    assert "--branch must name a branch, got ''" in done.stderr
    assert snapshot(toy) == before


@pytest.mark.parametrize("name", ["a b", "-x", "@{-1}", "HEAD", "a..b", "a.lock", "/", "~", "ä\0"])
def test_a_bad_name_for_a_branch_is_wrong_usage(name: str, toys: Toys, toy: Path) -> None:
    git(toy, "checkout", "--quiet", "-b", "before")
    git(toy, "checkout", "--quiet", "main")
    before = snapshot(toy)
    with pytest.raises(AnswerError) as caught:
        toys.update(toy, branch=name)
    shown = ascii(name) if name == "ä\0" else repr(name)
    assert str(caught.value) == f"--branch must name a branch, got {shown}"
    assert caught.value.exit_code == 2
    assert snapshot(toy) == before


@pytest.mark.parametrize(("name", "named"), [("main", "main"), ("main/x", "main"), ("a", "a/b")])
def test_a_branch_that_exists_is_refused(name: str, named: str, toys: Toys, toy: Path) -> None:
    git(toy, "branch", "a/b")
    before = snapshot(toy)
    with pytest.raises(ProjectError) as caught:
        toys.update(toy, branch=name)
    assert str(caught.value) == f"the branch {named} exists in {toy}: name another"
    assert snapshot(toy) == before


def test_a_commit_is_made_when_asked_for(toys: Toys, toy: Path) -> None:
    head = git(toy, "rev-parse", "HEAD")
    hook = toy / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    for key, value in (("commit.gpgSign", "true"), ("gpg.program", "false")):
        git(toy, "config", key, value)
    (toy / "notes.txt").write_text("untracked\n")
    done = cli("update", toy, "--commit")
    assert done.exit_code == 0, done.stderr
    commit = git(toy, "rev-parse", "HEAD")
    assert done.stdout == (
        f"{toy}: v1.0.0 to v3.0.0: 8 changed, 6 added, 5 deleted; committed as {commit[:12]}\n"
    )
    assert git(toy, "log", "-1", "--format=%P %s") == (
        f"{head} Update from the template's release v1.0.0 to v3.0.0"
    )
    assert git(toy, "symbolic-ref", "HEAD") == "refs/heads/main"
    assert status(toy) == ["?? notes.txt"]


def test_who_commits_is_the_user_else_the_author_else_the_program(
    toys: Toys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for role in ("AUTHOR", "COMMITTER"):
        for key in ("NAME", "EMAIL"):
            monkeypatch.delenv(f"GIT_{role}_{key}")
    # Where no repository's own settings, such as a developer's clone has, say who the user is.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    questions = "author_name: Grace\nauthor_email: grace@example.com\n_subdirectory: template\n"
    monkeypatch.setenv("EMAIL", "env@example.com")
    releases = {"v1.0.0": {"a.txt": "one\n"}, "v2.0.0": {"a.txt": "two\n"}}
    who = "--format=%an <%ae> %cn <%ce>"
    with monkeypatch.context() as patch:
        for role in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{role}_NAME", "Ada")
            patch.setenv(f"GIT_{role}_EMAIL", "ada@example.com")
        named = template_of(
            tmp_path / "named", releases, questions=dict.fromkeys(releases, questions)
        )
        toy = toys.make(tmp_path / "toy")
        other = toys.make(tmp_path / "other", template=named)
        third = toys.make(tmp_path / "third", template=named)
    nobody = "mlscaffold <mlscaffold@users.noreply.github.com>"
    toys.update(toy, commits=True)
    assert git(toy, "log", "-1", who) == f"{nobody} {nobody}"
    toys.update(other, commits=True)
    assert git(other, "log", "-1", who) == "Grace <grace@example.com> Grace <grace@example.com>"
    git(third, "config", "user.name", "Me")
    git(third, "config", "user.email", "me@example.com")
    monkeypatch.chdir(third)
    toys.update(third, commits=True)
    assert git(third, "log", "-1", who) == "Me <me@example.com> Me <me@example.com>"
