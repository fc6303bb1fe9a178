"""`update --branch NAME --open-pr`: what is refused or fails, and that nothing is lost by it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from proposals import (
    BRANCH,
    hook,
    installed,
    propose,
    proposing_template,
    pushed_toy,
    remote_of,
    tip,
    with_remote,
)
from stand_in_forge import Forge
from templates import commit, git
from toys import Toys, cli, committed, edit, snapshot

from mlscaffold.errors import MlscaffoldError, PushError
from mlscaffold.repository.remote import find_remote
from mlscaffold.repository.worktree import open_worktree
from mlscaffold.update import Outcome


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A template with a release whose change a rule settles, and one that conflicts."""
    return proposing_template(tmp_path_factory.mktemp("template") / "template")


@pytest.fixture
def forge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Forge:
    """A stand-in for `gh`, with which a machine is logged in."""
    return installed(tmp_path, monkeypatch, "gh")


@pytest.fixture
def toy(toys: Toys, template: Path, tmp_path: Path) -> Path:
    """A project of the first release, with a target of its own, pushed to `origin`."""
    return pushed_toy(toys, template, tmp_path / "toy")


def add_a_commit(clone: Path) -> None:
    edit(clone / "main.py", ("2", "4"))
    commit(clone)


def amend(clone: Path) -> None:
    edit(clone / "main.py", ("2", "4"))
    git(clone, "commit", "--quiet", "--all", "--amend", "--no-edit")


def merge_main(clone: Path) -> None:
    git(clone, "merge", "--quiet", "--no-edit", "origin/notes")


@pytest.mark.parametrize("work", [add_a_commit, amend, merge_main])
def test_commits_of_others_on_the_branch_are_never_lost(
    work: Callable[[Path], None], toys: Toys, toy: Path, forge: Forge
) -> None:
    propose(toys, toy)
    clone = toy.with_name("clone")
    git(toy, "switch", "--quiet", "--create", "notes")
    commit(toy)
    git(toy, "push", "--quiet", "origin", "notes")
    git(toy, "switch", "--quiet", "main")
    git(toy.parent, "clone", "--quiet", "--branch", BRANCH, str(remote_of(toy)), "clone")
    work(clone)
    git(clone, "push", "--quiet", "--force")
    theirs, mine = tip(remote_of(toy)), tip(toy)
    requests = forge.requests(toy)
    with pytest.raises(MlscaffoldError) as caught:
        propose(toys, toy, "v3.0.0")
    assert str(caught.value) == (
        f"the branch {BRANCH} in origin has commits that mlscaffold did not make, and is left "
        "alone: merge it, delete it or name another"
    )
    assert (tip(remote_of(toy)), tip(toy), forge.requests(toy)) == (theirs, mine, requests)


def test_a_commit_that_arrives_meanwhile_is_not_overwritten(
    toys: Toys, toy: Path, forge: Forge
) -> None:
    propose(toys, toy)
    git(toy.parent, "clone", "--quiet", "--branch", BRANCH, str(remote_of(toy)), "clone")
    add_a_commit(toy.with_name("clone"))
    before = tip(remote_of(toy))
    git(toy.with_name("clone"), "push", "--quiet")
    remote = find_remote(open_worktree(toy))
    with pytest.raises(PushError) as caught:
        remote.push(git(toy, "rev-parse", "main"), BRANCH, replaces=before)
    assert str(caught.value) == (
        f"the push of {BRANCH} to origin failed: [rejected] "
        f"{git(toy, 'rev-parse', 'main')} -> {BRANCH} (stale info)"
    )
    assert tip(remote_of(toy)) == tip(toy.with_name("clone"))


def test_a_shallow_clone_does_not_show_whose_the_commits_are(
    toys: Toys, toy: Path, forge: Forge
) -> None:
    propose(toys, toy)
    commit(toy)
    git(toy, "push", "--quiet")
    git(toy.parent, "clone", "--quiet", "--depth=1", remote_of(toy).as_uri(), "shallow")
    with pytest.raises(MlscaffoldError) as caught:
        propose(toys, toy.with_name("shallow"))
    assert str(caught.value).endswith("(this clone is shallow: `git fetch --unshallow` first)")


def test_a_branch_of_the_user_here_is_left_alone(toys: Toys, toy: Path, forge: Forge) -> None:
    git(toy, "switch", "--quiet", "--create", BRANCH)
    mine = committed(toy)
    with pytest.raises(MlscaffoldError, match="has commits that are not on origin"):
        propose(toys, toy)
    git(toy, "switch", "--quiet", "main")
    with pytest.raises(MlscaffoldError) as caught:
        propose(toys, toy)
    assert str(caught.value).startswith(f"the branch {BRANCH} in {toy} has commits that mlscaffold")
    assert (tip(toy), tip(remote_of(toy))) == (mine, "")


@pytest.mark.parametrize("is_here", [True, False])
def test_a_branch_that_is_behind_is_not_taken_for_an_updates(
    is_here: bool, toys: Toys, toy: Path, forge: Forge
) -> None:
    git(toy, "switch", "--quiet", "--create", "feature")
    commit(toy)
    git(toy, "push", "--quiet", "--set-upstream", "origin", "feature")
    if not is_here:
        git(toy, "branch", "--quiet", "-D", "main")
    before = snapshot(remote_of(toy))
    done = cli("update", toy, "--to=v2.0.0", "--branch=main", "--open-pr")
    place = toy if is_here else "origin"
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: the branch main in {place} has commits that mlscaffold did not make, and is left "
        "alone: merge it, delete it or name another\n"
    )
    assert snapshot(remote_of(toy)) == before


def no_remote(toy: Path, forge: Forge) -> str:
    git(toy, "remote", "remove", "origin")
    return f"{toy} has no remote to push to: `git remote add origin URL` adds one"


def not_pushed(toy: Path, forge: Forge) -> str:
    commit(toy)
    return f"{toy} has commits that are not on origin: `git push` them first"


def no_program(toy: Path, forge: Forge) -> str:
    (forge.programs / "gh").unlink()
    return "to open a pull request, install gh (GitHub) or glab (GitLab)"


def not_logged_in(toy: Path, forge: Forge) -> str:
    forge.fails("pr list", "To get started with GitHub CLI, please run:  gh auth login\nOr ...")
    return "gh pr list failed: To get started with GitHub CLI, please run:  gh auth login"


def unreachable(toy: Path, forge: Forge) -> str:
    shutil.rmtree(remote_of(toy))
    found = f"fatal: '{remote_of(toy)}' does not appear to be a git repository"
    return f"origin can't be read: {found}"


def checked_out(toy: Path, forge: Forge) -> str:
    other = toy.with_name("other")
    git(toy, "worktree", "add", "--quiet", "-b", BRANCH, str(other))
    return f"the branch {BRANCH} is checked out in {other}: switch away first"


def other_fields(toy: Path, forge: Forge) -> str:
    (forge.programs / "gh").write_text("#!/bin/sh\necho '[{\"number\": 1}]'\n")
    return "gh pr list printed no list of requests: upgrade it"


@pytest.mark.parametrize(
    "obstacle",
    [no_remote, not_pushed, no_program, not_logged_in, unreachable, checked_out, other_fields],
)
def test_what_stands_in_the_way_is_told_before_anything_is_changed(
    obstacle: Callable[[Path, Forge], str], toys: Toys, toy: Path, forge: Forge
) -> None:
    expected = obstacle(toy, forge)
    before = snapshot(toy)
    with pytest.raises(MlscaffoldError) as caught:
        propose(toys, toy)
    assert str(caught.value) == expected
    assert snapshot(toy) == before
    assert forge.requests(toy) == []


def test_a_refused_push_is_told_and_can_be_repeated(toys: Toys, toy: Path, forge: Forge) -> None:
    hook(remote_of(toy), "echo 'error: branches are protected' >&2; exit 1")
    done = cli("update", toy, "--to=v2.0.0", "--branch", BRANCH, "--open-pr")
    assert (done.exit_code, done.stderr) == (1, "")
    assert done.stdout.splitlines()[0] == (
        f"{toy}: failed: {BRANCH} is not pushed: the push of {BRANCH} to origin failed: "
        f"[remote rejected] {tip(toy)} -> {BRANCH} (pre-receive hook declined); "
        "remote: error: branches are protected"
    )
    assert forge.requests(toy) == []
    (remote_of(toy) / "hooks" / "pre-receive").unlink()
    again = propose(toys, toy)
    assert (again.outcome, again.commit) == (Outcome.UPDATED, tip(remote_of(toy)))


def test_a_request_that_is_refused_is_opened_by_the_next_run(
    toys: Toys, toy: Path, forge: Forge
) -> None:
    refusal = "pull request create failed: GraphQL: GitHub Actions is not permitted to create it"
    forge.fails("pr create", refusal)
    done = propose(toys, toy)
    assert (done.outcome, done.pushed, done.url) == (Outcome.FAILED, True, "")
    assert done.problem == f"{BRANCH} is pushed to origin, but gh pr create failed: {refusal}"
    (forge.state / "pr create").unlink()
    assert propose(toys, toy).url == "https://forge.example/acme/toy/pull/1"


def test_no_secret_is_shown(
    toys: Toys, toy: Path, forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GH_TOKEN", "ghp_0123456789")
    forge.fails("pr create", "bad credentials: ghp_0123456789")
    assert propose(toys, toy).problem.endswith("gh pr create failed: bad credentials: ***")
    git(toy, "remote", "set-url", "origin", "http://me:pass0word@127.0.0.1:1/toy.git")
    with pytest.raises(MlscaffoldError) as caught:
        propose(toys, toy)
    assert "127.0.0.1:1/toy.git" in str(caught.value)
    assert "pass0word" not in str(caught.value)
    git(toy, "remote", "set-url", "origin", "http://me:pass@0word@127.0.0.1:1/toy.git")
    with pytest.raises(MlscaffoldError) as caught:
        propose(toys, toy)
    assert "127.0.0.1:1/toy.git" in str(caught.value)
    assert "0word" not in str(caught.value)


def test_the_password_of_a_template_is_not_shown(toy: Path) -> None:
    answers = toy / ".copier-answers.yml"
    lines = [one for one in answers.read_text().splitlines() if not one.startswith("_src_path")]
    source = "_src_path: https://me:pass0word@127.0.0.1:1/template.git"
    answers.write_text("\n".join([*lines, source, ""]))
    commit(toy)
    done = cli("update", toy)
    assert done.exit_code == 1
    assert "the template https://127.0.0.1:1/template.git can't be read" in done.stderr
    assert "pass0word" not in done.stderr


def test_it_needs_the_name_of_a_branch(toy: Path) -> None:
    done = cli("update", toy, "--open-pr")
    assert done.exit_code == 2
    assert "--open-pr needs --branch NAME" in done.stderr


def test_one_project_that_fails_stops_no_other(toy: Path, forge: Forge, tmp_path: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(toy, tmp_path / name)
        git(tmp_path / name, "remote", "remove", "origin")
    with_remote(tmp_path / "a")
    arguments = ("--to=v2.0.0", "--jobs=2", "--branch", BRANCH, "--open-pr", "--json")
    done = cli("update", tmp_path / "a", tmp_path / "b", tmp_path / "forge", *arguments)
    assert done.exit_code == 1
    rows = {Path(row["project"]).name: row for row in json.loads(done.stdout)}
    assert {name: row["outcome"] for name, row in rows.items()} == {
        "a": "updated",
        "b": "failed",
        "forge": "skipped",
    }
    assert rows["a"]["url"] == "https://forge.example/acme/toy/pull/1"
    assert rows["b"]["problem"].startswith(f"{tmp_path}/b has no remote to push to")
    assert (tip(tmp_path / "b"), tip(remote_of(tmp_path / "a"))) == ("", rows["a"]["commit"])


def test_the_update_of_another_project_is_not_replaced(
    toys: Toys, template: Path, forge: Forge, tmp_path: Path
) -> None:
    repo = tmp_path / "repo"
    for name in ("a", "b"):
        shutil.rmtree(toys.make(repo / name, template=template) / ".git")
    shutil.copy(repo / "a" / ".copier-answers.yml", repo / "a" / ".second.yml")
    git(repo, "init", "--quiet", "--initial-branch=main")
    commit(repo)
    remote = with_remote(repo)
    options = ("--branch", BRANCH, "--open-pr", "--to=v2.0.0")
    assert cli("update", repo / "a", *options).exit_code == 0
    before, requests = tip(remote), forge.requests(repo)
    for here, others in ((True, ["b"]), (True, ["a", "-a", ".second.yml"]), (False, ["b"])):
        if not here:
            git(repo, "branch", "--quiet", "-D", BRANCH)
        project, *more = others
        done = cli("update", repo / project, *more, *options)
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr == (
            f"error: the branch {BRANCH} in {repo if here else 'origin'} has the update of "
            "a/.copier-answers.yml, which would be lost: update all in one command, or merge the "
            "branch or name another\n"
        )
        assert (tip(remote), forge.requests(repo)) == (before, requests)
    assert cli("update", repo / "b", repo / "a", *options).exit_code == 0
    assert git(repo, "rev-list", "--count", f"main..{BRANCH}") == "2"
