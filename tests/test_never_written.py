"""What an update never writes: whatever git does not keep for the project itself."""

import subprocess
import sys
from pathlib import Path

import pytest
from evolving import template_of, write
from templates import commit, git
from toys import Toys, cli, edit, files_of, snapshot, status

from mlscaffold.errors import ProjectError
from mlscaffold.update import Outcome, abort


@pytest.fixture
def toy(toys: Toys, tmp_path: Path) -> Path:
    """A project of the first release."""
    return toys.make(tmp_path / "toy")


@pytest.mark.parametrize("shown", ["normal", "no"])
def test_an_untracked_file_is_never_written(shown: str, toys: Toys, toy: Path) -> None:
    git(toy, "config", "status.showUntrackedFiles", shown)
    (toy / "src" / "extra.py").write_text("mine\n")
    before = snapshot(toy)
    done = cli("update", toy, "--to=v1.1.0")
    assert (done.exit_code, done.stdout, done.stderr) == (
        1,
        "",
        "error: the update adds files where there are some that git does not track: src/extra.py; "
        "move them away first\n",
    )
    assert snapshot(toy) == before


def test_a_file_that_git_ignores_is_no_obstacle_and_never_written(toys: Toys, toy: Path) -> None:
    (toy / ".gitignore").write_text("*.local\n/cache/\nsrc/extra.py\n")
    commit(toy)
    (toy / "src" / "extra.py").write_text("mine\n")
    done = cli("update", toy, "--to=v1.1.0")
    assert (done.exit_code, done.stdout) == (
        0,
        f"{toy}: v1.0.0 to v1.1.0: 4 changed; staged, not committed\n"
        "  left out  src/extra.py: git ignores it here\n",
    )
    assert (toy / "src" / "extra.py").read_text() == "mine\n"


def test_a_rendered_file_that_git_ignores_stays_the_users(toys: Toys, tmp_path: Path) -> None:
    one = {".env": "KEY=\n", ".gitignore": "/.env\n", "a": "1\n"}
    changes = {
        "v1.0.0": one,
        "v2.0.0": {".env": "KEY=\nNEW=\n", "a": "2\n"},
        "v3.0.0": {".env": None},
    }
    toy = toys.make(tmp_path / "toy", template=template_of(tmp_path / "template", changes))
    (toy / ".env").write_text("KEY=secret\n")
    for release, left_out in (("v2.0.0", [".env"]), ("v3.0.0", [])):
        done = toys.update(toy, to=release, commits=True)
        assert (done.changed[0], list(done.left_out)) == (".copier-answers.yml", left_out)
        assert (toy / ".env").read_text() == "KEY=secret\n"


def test_a_file_that_the_new_release_itself_ignores_is_left_out(toys: Toys, tmp_path: Path) -> None:
    rules = "*\n!.gitignore\n!/keep\n"
    changes = {
        "v1.0.0": {"a": "1\n"},
        "v2.0.0": {
            ".env": "KEY=\n",
            ".gitignore": "/.env\n",
            "data/.gitignore": rules,
            "data/keep": "keep\n",
            "data/x": "x\n",
        },
    }
    toy = toys.make(tmp_path / "toy", template=template_of(tmp_path / "template", changes))
    done = toys.update(toy)
    assert done.added == (".gitignore", "data/.gitignore", "data/keep")
    assert done.left_out == dict.fromkeys([".env", "data/x"], "git ignores it here")
    assert not (toy / ".env").exists()


@pytest.mark.parametrize("flag", ["--skip-worktree", "--assume-unchanged"])
def test_what_git_was_told_not_to_look_at_is_never_written(
    flag: str, toys: Toys, toy: Path
) -> None:
    git(toy, "update-index", flag, "src/main.py", "src/store/files.py")
    (toy / "src" / "main.py").write_text("hidden\n")
    (toy / "src" / "store" / "files.py").write_text("hidden\n")
    before = snapshot(toy)
    done = cli("update", toy)
    assert (done.exit_code, done.stdout, done.stderr) == (
        1,
        "",
        "error: the update changes what git was told to leave alone: src/main.py; clear its "
        "skip-worktree or assume-unchanged flag first, or move the submodule\n",
    )
    assert snapshot(toy) == before
    git(toy, "update-index", flag.replace("--", "--no-"), "src/main.py")
    git(toy, "checkout", "--quiet", "src/main.py")
    assert toys.update(toy).outcome is Outcome.UPDATED
    assert (toy / "src" / "store" / "files.py").read_text() == "hidden\n"
    flags = git(toy, "ls-files", "-v", "src/store/files.py")
    assert flags[0] == ("S" if flag == "--skip-worktree" else "h")


def test_a_submodule_is_no_obstacle_and_never_written(toys: Toys, toy: Path) -> None:
    other = toys.make(toy.parent / "other")
    allow = ("-c", "protocol.file.allow=always")
    git(toy, *allow, "submodule", "--quiet", "add", str(other), "vendor")
    git(toy, *allow, "submodule", "--quiet", "add", str(other), "bin")
    commit(toy)
    (toy / "vendor" / "src" / "main.py").write_text("dirty\n")
    before = snapshot(toy / "vendor")
    assert toys.update(toy, to="v2.1.0").outcome is Outcome.UPDATED
    assert snapshot(toy / "vendor") == before
    commit(toy)
    # The third release puts a file into the folder where a submodule lies.
    everything = files_of(toy)
    with pytest.raises(ProjectError):
        toys.update(toy)
    assert files_of(toy) == everything


def test_a_folder_behind_a_link_is_outside(toys: Toys, tmp_path: Path) -> None:
    changes = {
        "v1.0.0": {"data/raw/keep": "keep\n", "a": "1\n"},
        "v2.0.0": {"a": "2\n"},
        "v3.0.0": {"data/raw/more": "more\n"},
    }
    toy = toys.make(tmp_path / "toy", template=template_of(tmp_path / "template", changes))
    (toy / "data").rename(tmp_path / "disk")
    (toy / "data").symlink_to(tmp_path / "disk")
    commit(toy)
    before = snapshot(tmp_path / "disk")
    assert toys.update(toy, to="v2.0.0", commits=True).conflicts == {}
    assert snapshot(tmp_path / "disk") == before
    assert (toy / "data").is_symlink()
    done = toys.update(toy)
    assert set(done.conflicts.values()) == {"a file here, a folder there"}
    assert (tmp_path / "disk" / "raw" / "keep").read_text() == "keep\n"
    assert snapshot(tmp_path / "disk") == before
    abort(toy)
    assert (toy / "data").is_symlink()
    assert snapshot(tmp_path / "disk") == before


def test_an_untracked_link_is_never_followed(toys: Toys, toy: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (toy / "guide").symlink_to(tmp_path / "disk")
    before = snapshot(toy, without=("objects",))
    done = cli("update", toy)
    assert (done.exit_code, done.stderr) == (
        1,
        "error: the update adds files where there are some that git does not track: guide; "
        "move them away first\n",
    )
    assert snapshot(toy, without=("objects",)) == before
    assert list((tmp_path / "disk").iterdir()) == []


@pytest.fixture
def mono(toys: Toys, tmp_path: Path) -> Path:
    """A repository with a project in a folder, and with a sibling's work of every kind."""
    top = tmp_path / "mono"
    project = toys.make(top / "apps" / "toy ß")
    subprocess.run(["rm", "-r", str(project / ".git")], check=True)
    sibling = {"a.txt": "a\n", "b.txt": "b\n", "c.txt": "c\n", "src/main.py": "sibling\n"}
    for name, content in sibling.items():
        write(top / "apps" / "other" / name, content)
        write(top / name, content)
    write(top / ".gitignore", "*.ignored\n")
    git(top, "init", "--quiet", "--initial-branch=main")
    commit(top)
    for folder in (top, top / "apps" / "other"):
        (folder / "a.txt").write_text("staged\n")
        git(folder, "add", "a.txt")
        (folder / "a.txt").write_text("staged, then changed\n")
        (folder / "b.txt").write_text("not staged\n")
        git(folder, "rm", "--quiet", "--cached", "c.txt")
        (folder / "new.txt").write_text("untracked\n")
        (folder / "new.ignored").write_text("ignored\n")
    return top


def others(top: Path) -> tuple[object, ...]:
    """All in a repository that is not the project's."""
    entries = git(top, "ls-files", "--stage", "--debug", "--", ":!apps/toy*")
    return snapshot(top, without=(".git", "toy ß")), entries


@pytest.mark.parametrize("options", [{}, {"commits": True}, {"branch": "next"}, {"dry_run": True}])
def test_a_project_in_a_folder_leaves_its_siblings_alone(
    options: dict[str, object], toys: Toys, mono: Path, tmp_path: Path
) -> None:
    project = mono / "apps" / "toy ß"
    head, before = git(mono, "rev-parse", "HEAD"), others(mono)
    done = toys.update(project, **options)
    assert others(mono) == before
    assert done.conflicts == {}
    assert done.added[0] == "bin/run"
    if options == {}:
        fresh = toys.make(tmp_path / "fresh", release="v3.0.0")
        assert files_of(project) == files_of(fresh)
        assert git(mono, "write-tree", "--prefix=apps/toy ß/") == git(
            fresh, "rev-parse", "HEAD^{tree}"
        )
    if "commits" in options or "branch" in options:
        changed = git(mono, "diff", "--name-only", "-z", head, done.commit).split("\0")
        assert changed and all(path.startswith("apps/toy ß/") for path in changed if path)
    assert git(mono, "rev-parse", "HEAD") == (done.commit if "commits" in options else head)


def test_going_back_in_a_folder_leaves_its_siblings_alone(toys: Toys, mono: Path) -> None:
    project = mono / "apps" / "toy ß"
    edit(project / "src" / "main.py", ("main line 5\n", "mine\n"))
    git(project, "commit", "--quiet", "--message=Edit", "--only", "src/main.py")
    before, everything = others(mono), files_of(mono)
    done = cli("update", project)
    assert done.exit_code == 3
    assert f"mlscaffold update --abort '{project}'" in done.stdout
    assert others(mono) == before
    assert cli("update", "--abort", project).exit_code == 0
    assert others(mono) == before
    assert files_of(mono) == everything


def test_going_back_keeps_what_siblings_staged_meanwhile(toys: Toys, mono: Path) -> None:
    project = mono / "apps" / "toy ß"
    edit(project / "src" / "main.py", ("main line 5\n", "mine\n"))
    git(project, "commit", "--quiet", "--message=Edit", "--only", "src/main.py")
    everything = files_of(project)
    assert cli("update", project).exit_code == 3
    (mono / "apps" / "other" / "b.txt").write_text("staged meanwhile\n")
    git(mono, "add", "apps/other/b.txt")
    before = others(mono)[0], git(mono, "ls-files", "--stage", "--", ":!apps/toy*")
    assert cli("update", "--abort", project).exit_code == 0
    assert (others(mono)[0], git(mono, "ls-files", "--stage", "--", ":!apps/toy*")) == before
    assert files_of(project) == everything
    assert status(project) == []


def test_an_update_needs_the_projects_own_folder_clean(toys: Toys, mono: Path) -> None:
    project = mono / "apps" / "toy ß"
    (project / "src" / "main.py").write_text("not committed\n")
    (project / "staged.txt").write_text("staged\n")
    git(project, "add", "staged.txt")
    before = snapshot(mono)
    done = cli("update", project)
    assert (done.exit_code, done.stdout, done.stderr) == (
        1,
        "",
        f"error: {project} has changes that are not committed: apps/toy ß/src/main.py, "
        "apps/toy ß/staged.txt; commit or stash them first\n",
    )
    assert snapshot(mono) == before


def test_while_git_is_busy_nothing_is_updated(toys: Toys, toy: Path) -> None:
    git(toy, "checkout", "--quiet", "-b", "side")
    (toy / "own.txt").write_text("side\n")
    commit(toy)
    git(toy, "checkout", "--quiet", "main")
    git(toy, "merge", "--quiet", "--no-ff", "--no-commit", "side")
    before = snapshot(toy)
    done = cli("update", toy)
    assert (done.exit_code, done.stderr) == (
        1,
        f"error: a merge is under way in {toy}: finish it first\n",
    )
    assert snapshot(toy) == before


def test_a_folder_whose_name_breaks_the_line_is_refused(toys: Toys, tmp_path: Path) -> None:
    toy = toys.make(tmp_path / "a\nb")
    before = snapshot(toy)
    command = [sys.executable, "-m", "mlscaffold", "update"]
    done = subprocess.run(command, cwd=toy, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1 and "a line break" in done.stderr
    assert snapshot(toy) == before
