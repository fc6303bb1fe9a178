"""Updates that end in conflicts: how they look, how they are settled, how one goes back."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from evolving import Files, template_of, write
from templates import commit, git
from toys import Toys, cli, edit, files_of, snapshot, status

from mlscaffold.errors import ProjectError
from mlscaffold.update import Outcome, abort, resume

BOTH = "both changed it"
REMOVED = "you changed what the template removed"


@pytest.fixture
def toy(toys: Toys, tmp_path: Path) -> Path:
    """A project of v1.0.0 whose update to v2.0.0 has a conflict of each of three kinds."""
    toy = toys.make(tmp_path / "toy")
    edit(toy / "src" / "main.py", ("main line 5\n", "mine 5\n"), ("main line 20\n", "mine 20\n"))
    edit(toy / "src" / "legacy.py", ("legacy line 1\n", "mine\n"))
    (toy / "logo.bin").write_bytes(b"\0mine")
    (toy / "note.local").write_text("ignored\n")
    (toy / "cache").mkdir()
    (toy / "cache" / "deep").write_bytes(b"\0ignored")
    commit(toy)
    (toy / "untracked.txt").write_text("untracked\n")
    return toy


def test_conflicts_are_ordinary_ones_of_git(toys: Toys, toy: Path) -> None:
    before = git(toy, "rev-parse", "HEAD")
    done = cli("update", toy, "--to=v2.0.0")
    assert (done.exit_code, done.stderr) == (3, "")
    assert done.stdout == (
        f"{toy}: v1.0.0 to v2.0.0: 4 changed, 5 added, 3 deleted, 3 in conflict; "
        "staged, not committed\n"
        "  conflict  logo.bin: both changed a binary file\n"
        f"  conflict  src/legacy.py: {REMOVED}\n"
        f"  conflict  src/main.py: {BOTH}\n"
        f"Resolve them (git status lists them), then: mlscaffold update --continue {toy}\n"
        f"Or go back to what was there: mlscaffold update --abort {toy}\n"
    )
    shown = git(toy, "status")
    assert "both modified:   logo.bin\n" in shown
    assert "deleted by them: src/legacy.py\n" in shown
    assert "both modified:   src/main.py\n" in shown
    assert git(toy, "rev-parse", "HEAD") == before
    main = (toy / "src" / "main.py").read_text()
    assert (
        "main line 4\n"
        "<<<<<<< yours\n"
        "mine 5\n"
        "||||||| template-v1.0.0\n"
        "main line 5\n"
        "=======\n"
        "main improved 5\n"
        ">>>>>>> template-v2.0.0\n"
        "main line 6\n"
    ) in main
    assert "\nmine 20\n" in main
    assert (toy / "logo.bin").read_bytes() == b"\0mine"
    assert "mine\n" in (toy / "src" / "legacy.py").read_text()


def test_a_mergetool_finds_all_three_versions(toys: Toys, toy: Path, tmp_path: Path) -> None:
    yours = (toy / "src" / "main.py").read_text()
    toys.update(toy, to="v2.0.0")
    for stage, release in ((1, "v1.0.0"), (3, "v2.0.0")):
        fresh = toys.make(tmp_path / release, release=release)
        assert f"{git(toy, 'show', f':{stage}:src/main.py')}\n" == (
            (fresh / "src" / "main.py").read_text()
        )
    assert f"{git(toy, 'show', ':2:src/main.py')}\n" == yours
    git(toy, "config", "mergetool.theirs.cmd", 'cp "$REMOTE" "$MERGED"')
    git(toy, "config", "mergetool.theirs.trustExitCode", "true")
    command = ["git", "mergetool", "--no-prompt", "--tool=theirs", "src/main.py", "logo.bin"]
    subprocess.run(command, cwd=toy, check=True, capture_output=True)
    git(toy, "rm", "--quiet", "src/legacy.py")
    assert cli("update", "--continue", toy).exit_code == 0
    assert (toy / "logo.bin").read_bytes() == bytes(reversed(range(256)))


def test_it_goes_on_when_all_is_settled_and_not_before(toys: Toys, toy: Path) -> None:
    toys.update(toy, to="v2.0.0")

    def refused() -> str:
        before = snapshot(toy)
        done = cli("update", "--continue", toy)
        assert (done.exit_code, done.stdout) == (1, "")
        assert snapshot(toy) == before
        return done.stderr

    assert refused() == "error: conflict markers are left in src/main.py\n"
    git(toy, "add", "src/main.py")
    assert refused() == "error: conflict markers are left in src/main.py\n"
    git(toy, "checkout", "--quiet", "HEAD", "src/main.py")
    unsettled = "; `git add` what stays, `git rm` what goes\n"
    assert refused() == f"error: not resolved yet: logo.bin, src/legacy.py{unsettled}"
    git(toy, "add", "logo.bin")
    assert refused() == f"error: not resolved yet: src/legacy.py{unsettled}"
    git(toy, "rm", "--quiet", "src/legacy.py")
    done = cli("update", "--continue", toy)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == f"{toy}: the update is finished; staged, not committed\n"
    assert status(toy) == [
        "M  .copier-answers.yml",
        "A  colour.txt",
        "M  crlf.txt",
        "D  docs/one.md",
        "D  docs/two.md",
        "A  guide/one.md",
        "A  guide/two.md",
        "M  latest",
        "M  run.sh",
        "A  src/extra.py",
        "D  src/legacy.py",
        "A  src/toolbox.py",
        "D  src/tools.py",
        "?? untracked.txt",
    ]
    assert not (toy / ".git" / "mlscaffold-update").exists()
    assert cli("update", "--continue", toy).stderr == f"error: no update is unfinished in {toy}\n"
    commit(toy)
    assert toys.update(toy).new == "v3.0.0"


def test_a_file_without_markers_needs_no_git_add(toys: Toys, toy: Path) -> None:
    git(toy, "checkout", "--quiet", "HEAD~0")
    toys.update(toy, to="v2.0.0")
    edit(
        toy / "src" / "main.py",
        ("<<<<<<< yours\nmine 5\n||||||| template-v1.0.0\nmain line 5\n=======\n", ""),
        (">>>>>>> template-v2.0.0\n", ""),
    )
    git(toy, "add", "logo.bin", "src/legacy.py")
    assert resume(toy).outcome is Outcome.UPDATED
    assert not git(toy, "ls-files", "--unmerged")
    assert "main improved 5\n" in git(toy, "show", ":src/main.py")
    assert "mine 20\n" in git(toy, "show", ":src/main.py")


def test_what_was_to_be_committed_is_when_it_goes_on(toys: Toys, toy: Path) -> None:
    head = git(toy, "rev-parse", "HEAD")
    done = toys.update(toy, to="v2.0.0", commits=True)
    assert (done.outcome, done.commit) == (Outcome.CONFLICTS, "")
    git(toy, "checkout", "--quiet", "HEAD", "src/main.py", "logo.bin", "src/legacy.py")
    done = cli("update", "--continue", toy)
    made = git(toy, "rev-parse", "HEAD")
    assert done.stdout == f"{toy}: the update is finished; committed as {made[:12]}\n"
    assert git(toy, "log", "-1", "--format=%P %s") == (
        f"{head} Update from the template's release v1.0.0 to v2.0.0"
    )
    assert status(toy) == ["?? untracked.txt"]


def half_resolved(toy: Path) -> None:
    """What somebody may do before giving up."""
    git(toy, "checkout", "--quiet", "HEAD", "src/main.py")
    git(toy, "add", "logo.bin")
    git(toy, "rm", "--quiet", "src/legacy.py")
    (toy / "guide" / "one.md").unlink()
    (toy / "colour.txt").write_text("changed\n")
    git(toy, "add", "--all", "guide", "colour.txt")


@pytest.mark.parametrize("meanwhile", [lambda toy: None, half_resolved], ids=["at once", "later"])
def test_going_back_restores_every_byte(meanwhile, toys: Toys, toy: Path) -> None:
    before, index = files_of(toy), (toy / ".git" / "index").read_bytes()
    head = git(toy, "rev-parse", "HEAD")
    toys.update(toy, to="v2.0.0")
    assert files_of(toy) != before
    meanwhile(toy)
    done = cli("update", "--abort", toy)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == f"{toy}: as it was before the update\n"
    assert files_of(toy) == before
    assert (toy / ".git" / "index").read_bytes() == index
    assert git(toy, "rev-parse", "HEAD") == head
    assert status(toy) == ["?? untracked.txt"]
    assert not (toy / ".git" / "mlscaffold-update").exists()
    assert cli("update", "--abort", toy).stderr == f"error: no update is unfinished in {toy}\n"


def test_going_back_leaves_a_folder_empty_that_was_empty(toys: Toys, tmp_path: Path) -> None:
    toy = toys.make(tmp_path / "toy")
    (toy / "docs" / "one.md").rename(toy / "mine.md")
    (toy / "docs" / "two.md").unlink()
    commit(toy)
    before = files_of(toy)
    assert toys.update(toy, to="v2.0.0").conflicts["docs/one.md"] == "both renamed it"
    assert (toy / "docs").is_dir()
    abort(toy)
    assert files_of(toy) == before


def test_a_file_that_a_settled_conflict_shares_gets_later_changes(
    toys: Toys, tmp_path: Path
) -> None:
    toy = toys.make(tmp_path / "toy")
    toolbox = toy / "src" / "toolbox.py"
    toolbox.write_text("mine\n")
    commit(toy)
    assert toys.update(toy, to="v2.0.0").conflicts == {"src/toolbox.py": "both added it"}
    edit(
        toolbox,
        ("<<<<<<< yours\n", ""),
        ("||||||| template-v1.0.0\n=======\n", ""),
        (">>>>>>> template-v2.0.0\n", ""),
    )
    resume(toy)
    commit(toy)
    assert toys.update(toy, to="v3.0.0").outcome is Outcome.UPDATED
    lines = toolbox.read_text().splitlines()
    assert (lines[0], lines[1], lines[-2]) == ("mine", "tools line 0", "tools end")


@pytest.mark.parametrize("command", [["update"], ["update", "--dry-run"], ["update", "--branch=b"],
                                     ["set", "store=database", "--project"]])  # fmt: skip
def test_a_second_update_on_top_is_refused(command: list[str], toys: Toys, toy: Path) -> None:
    toys.update(toy, to="v2.0.0")
    before = snapshot(toy)
    done = cli(*command, toy)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: an update of {toy} is unfinished: resolve its conflicts and run "
        "`mlscaffold update --continue`, or `mlscaffold update --abort`\n"
    )
    assert snapshot(toy) == before


def test_what_was_committed_since_is_not_undone(toys: Toys, toy: Path) -> None:
    toys.update(toy, to="v2.0.0")
    edit(toy / "src" / "main.py", ("mine 20\n", "later 20\n"))
    git(toy, "commit", "--quiet", "--all", "--message=With markers")
    before = snapshot(toy)
    with pytest.raises(ProjectError) as caught:
        abort(toy)
    assert str(caught.value) == (
        f"{toy} has other commits than before the update, which aborting would undo in the "
        "files: end the update with `mlscaffold update --continue`"
    )
    assert snapshot(toy) == before
    edit(
        toy / "src" / "main.py",
        ("<<<<<<< yours\n", ""),
        (">>>>>>> template-v2.0.0\n", ""),
    )
    assert cli("update", "--continue", toy).exit_code == 0


# What the template and its user did to the files of a release, and what is in conflict then.
KINDS: Mapping[str, tuple[Files, Files, Files, Mapping[str, str]]] = {
    "both changed a file": (
        {"a": "1\n2\n3\n"}, {"a": "1\ntheirs\n3\n"}, {"a": "1\nmine\n3\n"}, {"a": BOTH},
    ),
    "both added a file": (
        {}, {"a": "theirs\n"}, {"a": "mine\n"}, {"a": "both added it"},
    ),
    "the template removed what was changed": (
        {"a": "1\n2\n3\n"}, {"a": None}, {"a": "1\nmine\n3\n"}, {"a": REMOVED},
    ),
    "the template removed what was renamed": (
        {"a": "1\n2\n3\n"}, {"a": None}, {"a": None, "b": "1\n2\n3\n"},
        {"b": "you renamed what the template removed"},
    ),
    "a binary file": (
        {"a": b"\0one"}, {"a": b"\0two"}, {"a": b"\0mine"}, {"a": "both changed a binary file"},
    ),
    "two links": (
        {"a": Path("one")}, {"a": Path("two")}, {"a": Path("mine")}, {"a": BOTH},
    ),
    "a file became a link": (
        {"a": "1\n2\n"}, {"a": Path("two")}, {"a": "1\nmine\n"},
        {"a": "both changed what kind of file it is",
         "a~yours": "both changed what kind of file it is"},
    ),
    "a folder where there is a file": (
        {}, {"a/x": "theirs\n"}, {"a": "mine\n"}, {"a~yours": "a file here, a folder there"},
    ),
    "a file where there is a folder": (
        {}, {"a": "theirs\n"}, {"a/x": "mine\n"},
        {"a~template-v2.0.0": "a file here, a folder there"},
    ),
    "both renamed a file": (
        {"a": "1\n2\n3\n"}, {"a": None, "b": "1\n2\n3\n"}, {"a": None, "c": "1\n2\n3\n"},
        {"a": "both renamed it", "b": "both renamed it", "c": "both renamed it"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_named_and_loses_nothing(kind: str, toys: Toys, tmp_path: Path) -> None:
    old, new, mine, conflicts = KINDS[kind]
    template = template_of(tmp_path / "template", {"v1.0.0": old, "v2.0.0": new})
    toy = toys.make(tmp_path / "toy", template=template)
    for name, content in mine.items():
        write(toy / name, content)
    commit(toy)
    before, index = files_of(toy), (toy / ".git" / "index").read_bytes()
    done = toys.update(toy)
    assert done.conflicts == conflicts
    for content in (content for content in mine.values() if content is not None):
        text = content if isinstance(content, bytes) else str(content).strip().encode()
        kept = [bytes(found) for _, found in files_of(toy).values()]
        assert any(line in found for found in kept for line in text.splitlines()[1:2] or [text])
    assert not {path for path in done.conflicts} - {line[3:] for line in status(toy)}
    with pytest.raises(ProjectError):
        resume(toy)
    abort(toy)
    assert files_of(toy) == before
    assert (toy / ".git" / "index").read_bytes() == index
    toys.update(toy)
    for path in done.conflicts:
        if (toy / path).is_symlink() or (toy / path).is_file():
            if not (toy / path).is_symlink() and b"<<<<<<<" in (toy / path).read_bytes():
                (toy / path).write_text("settled\n")
            git(toy, "add", path)
        else:
            git(toy, "rm", "--quiet", path)
    assert resume(toy).outcome is Outcome.UPDATED
    assert git(toy, "ls-files", "--unmerged") == ""


def test_what_was_deselected_but_edited_is_a_conflict(toys: Toys, tmp_path: Path) -> None:
    toy = toys.make(tmp_path / "toy")
    edit(toy / "src" / "store" / "files.py", ("files line 1\n", "mine\n"))
    commit(toy)
    done = cli("set", "store=database", "--project", toy)
    assert done.exit_code == 3
    assert "  conflict  src/store/files.py: you changed what you have deselected\n" in done.stdout
    assert "mine\n" in (toy / "src" / "store" / "files.py").read_text()
    assert (toy / "src" / "store" / "database.py").exists()
