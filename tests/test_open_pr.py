"""`update --branch NAME --open-pr`: a real remote on disk, and a stand-in for `gh` and `glab`."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from evolving import template_of
from stand_in_forge import Forge
from templates import commit, git
from toys import Toys, cli, committed, edit, files_of, snapshot

from mlscaffold.errors import ForgeError, MlscaffoldError, PushError
from mlscaffold.forge import find_forge
from mlscaffold.repository.remote import find_remote
from mlscaffold.repository.worktree import open_worktree
from mlscaffold.update import Outcome, UpdateResult
from mlscaffold.updating.publication import published

BRANCH = "template-update"
MAKEFILE = "test:\n\tpytest\n\nclean:\n\trm -rf data models\n"
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
    return template_of(
        tmp_path_factory.mktemp("template") / "template",
        {
            "v1.0.0": {
                "Makefile": MAKEFILE,
                "main.py": "a = 1\n",
                "pyproject.toml": "[a]\nb = 1\n",
            },
            "v2.0.0": {
                "Makefile": f"{MAKEFILE}\ntheirs:\n\techo theirs\n",
                "pyproject.toml": "[a]\nb = 2\n",
                "new.txt": "new\n",
            },
            "v3.0.0": {"main.py": "a = 3\n"},
        },
    )


@pytest.fixture
def forge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Forge:
    """A stand-in for `gh`, with which a machine is logged in."""
    return installed(tmp_path, monkeypatch, "gh")


@pytest.fixture
def toy(toys: Toys, template: Path, tmp_path: Path) -> Path:
    """A project of the first release, with a target of its own, pushed to `origin`."""
    toy = toys.make(tmp_path / "toy", template=template)
    (toy / "Makefile").write_text(f"{MAKEFILE}\nmine:\n\techo mine\n")
    (toy / "main.py").write_text("a = 2\n")
    commit(toy)
    with_remote(toy)
    return toy


def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *programs: str) -> Forge:
    """The stand-ins on PATH; whatever this machine has is not."""
    forge = Forge(tmp_path / "forge", *programs)
    for program in ("git", "sh"):
        (forge.programs / program).symlink_to(str(shutil.which(program)))
    for name, value in forge.environment().items():
        monkeypatch.setenv(name, str(forge.programs) if name == "PATH" else value)
    return forge


def with_remote(project: Path) -> Path:
    """The remote repository of a project, which is pushed to it."""
    remote = project.with_name(f"{project.name}.git")
    git(project.parent, "init", "--quiet", "--bare", "--initial-branch=main", str(remote))
    git(project, "remote", "add", "origin", str(remote))
    git(project, "push", "--quiet", "--set-upstream", "origin", "main")
    return remote


def remote_of(project: Path) -> Path:
    return project.with_name(f"{project.name}.git")


def tip(repository: Path) -> str:
    return git(repository, "for-each-ref", "--format=%(objectname)", f"refs/heads/{BRANCH}")


def propose(toys: Toys, project: Path, to: str = "v2.0.0") -> UpdateResult:
    """The result of an update whose branch is pushed, and for which a request is opened."""
    done = toys.update(project, to=to, branch=BRANCH, opens_pr=True)
    return published([done], BRANCH)[0]


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


def hook(remote: Path, script: str) -> None:
    file = remote / "hooks" / "pre-receive"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


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
    return f"the branch {BRANCH} is checked out in {other}: switch to another branch first"


@pytest.mark.parametrize(
    "obstacle", [no_remote, not_pushed, no_program, not_logged_in, unreachable, checked_out]
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


def test_no_variable_names_another_repository(
    toy: Path, forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GH_REPO", "acme/another")
    (forge.programs / "gh").write_text('#!/bin/sh\nprintf \'["%s"]\' "$GH_REPO" >&2; exit 1\n')
    with pytest.raises(ForgeError) as caught:
        find_forge(find_remote(open_worktree(toy))).find(BRANCH)
    assert str(caught.value) == 'gh pr list failed: [""]'


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
