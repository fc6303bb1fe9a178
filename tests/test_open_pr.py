"""`update --branch NAME --open-pr`: a real remote on disk, and a stand-in for `gh` and `glab`."""

import json
import shutil
from dataclasses import replace
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
from toys import Toys, cli, edit, files_of, snapshot

from mlscaffold.errors import ForgeError
from mlscaffold.forge import find_forge
from mlscaffold.repository.remote import find_remote
from mlscaffold.repository.worktree import open_worktree
from mlscaffold.update import Outcome

TITLE = "Update from the template's release v1.0.0 to v2.0.0"
BODY = """\
Both sides changed these lines, and a rule settled each of them:

- `Makefile:6-11`: both added blocks at one place

Files: 3 changed, 1 added.

- changed: `.copier-answers.yml`, `Makefile`, `pyproject.toml`
- added: `new.txt`"""


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


def test_the_branch_is_pushed_and_a_pull_request_lists_what_was_done(
    toy: Path, forge: Forge
) -> None:
    before = files_of(toy)
    done = cli("update", toy, "--to=v2.0.0", "--branch", BRANCH, "--open-pr")
    assert (done.exit_code, done.stderr) == (0, "")
    made = git(toy, "rev-parse", BRANCH)
    assert done.stdout == (
        f"{toy}: v1.0.0 to v2.0.0: 3 changed, 1 added; committed as {made[:12]} on {BRANCH}, "
        "pushed\n"
        "  settled   Makefile:6-11: both added blocks at one place\n"
        "  open at   https://forge.example/acme/toy/pull/1\n"
        "The dependencies may have changed: run `uv lock`, then `make setup`.\n"
    )
    assert files_of(toy) == before
    assert tip(remote_of(toy)) == made
    [request] = forge.requests(toy)
    assert {key: request[key] for key in ("head", "base", "title", "isDraft")} == {
        "head": BRANCH,
        "base": "main",
        "title": TITLE,
        "isDraft": False,
    }
    assert request["body"] == BODY
    tree = git(toy, "rev-parse", f"{BRANCH}^{{tree}}")
    message = git(toy, "log", "-1", "--format=%B", BRANCH)
    trailers = f"Mlscaffold-Tree-Answers: .copier-answers.yml\nMlscaffold-Tree: {tree}"
    assert message == f"{TITLE}\n\n{BODY}\n\n{trailers}"


def test_conflicts_make_a_draft_that_lists_them(toy: Path, forge: Forge) -> None:
    done = cli("update", toy, "--branch", BRANCH, "--open-pr", "--json")
    assert done.exit_code == 3
    [row] = json.loads(done.stdout)
    assert (row["outcome"], row["pushed"], row["url"]) == (
        *("conflicts", True),
        "https://forge.example/acme/toy/pull/1",
    )
    [request] = forge.requests(toy)
    assert request["isDraft"]
    assert request["title"] == "Update from the template's release v1.0.0 to v3.0.0 (conflicts)"
    assert request["body"].startswith(
        "Conflicts, to be resolved before this is merged:\n\n- `main.py`: both changed it\n\n"
    )
    assert request["body"].endswith(
        f"    git fetch origin\n    git switch {BRANCH}\n    git grep -n '^<<<<<<<'"
    )
    assert "<<<<<<< yours\na = 2\n" in git(remote_of(toy), "show", f"{BRANCH}:main.py")


def test_an_open_request_follows_the_project(toys: Toys, toy: Path, forge: Forge) -> None:
    first = propose(toys, toy, "v3.0.0")
    (toy / "main.py").write_text("a = 1\n")
    commit(toy)
    git(toy, "push", "--quiet")
    second = propose(toys, toy, "v3.0.0")
    assert (first.outcome, second.outcome) == (Outcome.CONFLICTS, Outcome.UPDATED)
    assert first.url == second.url
    assert tip(remote_of(toy)) == second.commit != first.commit
    assert git(toy, "rev-parse", f"{BRANCH}^") == git(toy, "rev-parse", "main")
    [request] = forge.requests(toy)
    assert (request["isDraft"], "onflict" in request["title"] + request["body"]) == (False, False)
    edit(toy / "main.py", ("1", "2"))
    commit(toy)
    git(toy, "push", "--quiet")
    assert propose(toys, toy, "v3.0.0").conflicts
    [request] = forge.requests(toy)
    assert request["isDraft"]


def test_what_is_pushed_already_is_not_pushed_again(toys: Toys, toy: Path, forge: Forge) -> None:
    first = propose(toys, toy)
    # From a fresh clone, as in a scheduled job, at another time.
    fresh = toy.with_name("fresh")
    git(toy.parent, "clone", "--quiet", str(remote_of(toy)), "fresh")
    git(fresh, "commit", "--quiet", "--allow-empty", "--message=Later")
    git(fresh, "reset", "--quiet", "--hard", "origin/main")
    hook(remote_of(toy), "exit 1")
    forge.set(fresh, forge.requests(toy))
    second = propose(toys, fresh)
    assert (second.outcome, second.pushed, second.url) == (Outcome.UPDATED, True, first.url)
    assert second.commit == first.commit == tip(fresh) == tip(remote_of(toy))
    assert len(forge.requests(fresh)) == 1


@pytest.mark.parametrize("how", ["--ff-only", "--no-ff"])
def test_the_branch_of_a_merged_update_is_used_again(
    how: str, toys: Toys, toy: Path, forge: Forge
) -> None:
    propose(toys, toy)
    git(toy, "switch", "--quiet", BRANCH)
    commit(toy)
    git(toy, "push", "--quiet", "origin", BRANCH)
    git(toy, "switch", "--quiet", "main")
    git(toy, "merge", "--quiet", "--no-edit", how, BRANCH)
    git(toy, "push", "--quiet")
    done = propose(toys, toy, "v3.0.0")
    assert (done.pushed, tip(remote_of(toy))) == (True, done.commit)


def test_no_variable_names_another_repository(
    toy: Path, forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GH_REPO", "acme/another")
    (forge.programs / "gh").write_text('#!/bin/sh\nprintf \'["%s"]\' "$GH_REPO" >&2; exit 1\n')
    with pytest.raises(ForgeError) as caught:
        find_forge(find_remote(open_worktree(toy))).find(BRANCH)
    assert str(caught.value) == 'gh pr list failed: [""]'


def test_on_gitlab_it_is_a_merge_request(
    toys: Toys, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forge = installed(tmp_path, monkeypatch, "glab")
    url = "https://forge.example/-/merge_requests/1"
    assert propose(toys, toy).url == url
    [request] = forge.requests(toy)
    assert (request["source_branch"], request["target_branch"]) == (BRANCH, "main")
    assert (request["title"], request["description"], request["draft"]) == (TITLE, BODY, False)
    assert propose(toys, toy, "v3.0.0").url == url
    [request] = forge.requests(toy)
    assert request["draft"]
    assert "`main.py`: both changed it" in request["description"]


def test_a_dry_run_and_a_current_project_ask_nobody(toys: Toys, toy: Path, forge: Forge) -> None:
    before = snapshot(toy)
    done = cli("update", toy, "--branch", BRANCH, "--open-pr", "--dry-run")
    assert done.exit_code == 0
    assert "nothing was changed now" in done.stdout
    assert cli("update", toy, "--to=v1.0.0", "--branch", BRANCH, "--open-pr").stdout == (
        f"{toy}: nothing to do at v1.0.0\n"
    )
    assert snapshot(toy) == before
    assert forge.calls() == []


def test_projects_of_one_repository_share_a_request(
    toys: Toys, template: Path, forge: Forge, tmp_path: Path
) -> None:
    repo = tmp_path / "repo"
    for name in ("apps/a", "apps/b"):
        shutil.rmtree(toys.make(repo / name, template=template) / ".git")
    git(repo, "init", "--quiet", "--initial-branch=main")
    commit(repo)
    with_remote(repo)
    projects = repo / "apps" / "a", repo / "apps" / "b"
    done = cli("update", *projects, "--to=v2.0.0", "--branch", BRANCH, "--open-pr", "--json")
    assert done.exit_code == 0, done.stdout
    first, second = json.loads(done.stdout)
    assert first["url"] == second["url"] == "https://forge.example/acme/toy/pull/1"
    assert git(repo, "rev-list", "--reverse", f"main..{BRANCH}").split() == [
        first["commit"],
        second["commit"],
    ]
    [request] = forge.requests(repo)
    assert request["title"] == "Update 2 projects from their templates"
    assert request["body"].startswith(f"## `apps/a`: {TITLE}\n\nFiles: ")
    assert f"\n\n## `apps/b`: {TITLE}\n\n" in request["body"]
    again = cli("update", *projects, "--to=v2.0.0", "--branch", BRANCH, "--open-pr", "--json")
    assert [row["commit"] for row in json.loads(again.stdout)] == [
        first["commit"],
        second["commit"],
    ]


@pytest.mark.parametrize(
    ("url", "programs", "found"),
    [
        ("git@github.com:acme/toy.git", ("gh", "glab"), "gh"),
        ("https://me:secret@gitlab.com/acme/toy.git", ("gh", "glab"), "glab"),
        (
            "https://me:se@cret@gitlab.com/acme/toy.git",
            ("gh",),
            "gitlab.com needs glab, which is not installed",
        ),
        ("ssh://git@gitlab.acme.example:2222/ml/toy.git", ("gh", "glab"), "glab"),
        ("https://git.acme.example/ml/toy.git", ("glab",), "glab"),
        ("git@github.com:acme/toy.git", ("glab",), "github.com needs gh, which is not installed"),
        (
            "https://git.acme.example/ml/toy.git",
            ("gh", "glab"),
            "git.acme.example may be GitHub or GitLab: log in with one of `gh auth login "
            "--hostname HOST` and `glab auth login --hostname HOST`",
        ),
    ],
)
def test_the_host_says_which_program_is_run(
    url: str,
    programs: tuple[str, ...],
    found: str,
    toy: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed(tmp_path, monkeypatch, *programs)
    remote = replace(find_remote(open_worktree(toy)), url=url)
    if found in programs:
        forge = find_forge(remote)
        assert forge.find("none") is None
        assert type(forge).__name__ == {"gh": "GitHub", "glab": "GitLab"}[found]
        return
    with pytest.raises(ForgeError) as caught:
        find_forge(remote)
    assert str(caught.value) == found


def test_a_host_of_ones_own_is_what_one_is_logged_in_to(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forge = installed(tmp_path, monkeypatch, "gh", "glab")
    (forge.programs / "gh").write_text("#!/bin/sh\nexit 1\n")
    remote = replace(find_remote(open_worktree(toy)), url="git@git.acme.example:ml/toy.git")
    assert type(find_forge(remote)).__name__ == "GitLab"
    assert forge.calls() == [["glab", "auth", "status", "--hostname", "git.acme.example"]]


def test_with_several_remotes_the_request_names_its_repository(toy: Path, forge: Forge) -> None:
    git(toy, "remote", "add", "upstream", "https://example.com/upstream.git")
    url = "https://me:secret@github.com/acme/toy.git"
    remote = replace(find_remote(open_worktree(toy)), url=url)
    assert find_forge(remote).find(BRANCH) is None
    assert forge.calls()[0][-2:] == ["--repo", "https://github.com/acme/toy.git"]
