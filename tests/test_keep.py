"""Files that a project keeps: updates leave them alone, and say what the template changes there."""

import json
from pathlib import Path

import pytest
from evolving import template_of
from templates import commit, git
from toys import Toys, cli, committed, edit, files_of, snapshot, staged_tree

from mlscaffold.update import Outcome, UpdateResult

CONFLICTING = ("main line 5\n", "mine\n")


@pytest.fixture
def toy(toys: Toys, tmp_path: Path) -> Path:
    """A project of the first release."""
    return toys.make(tmp_path / "toy")


def keep(project: Path, *patterns: str) -> None:
    """Commit what there is, and a file that keeps these."""
    (project / ".mlscaffold.yml").write_text(json.dumps({"keep": patterns}))
    commit(project)


def kept(done: UpdateResult) -> dict[str, str]:
    return {one.path: f"{one.change} {one.to}".strip() for one in done.kept}


def test_what_is_kept_stays_and_is_named(toys: Toys, toy: Path) -> None:
    edit(toy / "src" / "main.py", CONFLICTING)
    keep(toy, "/src/main.py", "*.bin", "src/legacy.py", "/src/tools.py", "/colour.*")
    before = files_of(toy)
    done = cli("update", toy)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == (
        f"{toy}: v1.0.0 to v3.0.0: 6 changed, 5 added, 3 deleted; staged, not committed\n"
        "  kept      colour.txt: the template adds it\n"
        "  kept      logo.bin: the template changes it\n"
        "  kept      src/legacy.py: the template deletes it\n"
        "  kept      src/main.py: the template changes it\n"
        "  kept      src/tools.py: the template renames it to src/toolbox.py\n"
    )
    after = files_of(toy)
    for path in ("src/main.py", "logo.bin", "src/legacy.py", "src/tools.py"):
        assert after[path] == before[path]
    assert "colour.txt" not in after
    assert "tools end" in (toy / "src" / "toolbox.py").read_text()
    commit(toy)
    assert toys.update(toy).outcome is Outcome.CURRENT
    assert "+mine\n" in cli("diff", toy).stdout


def test_what_is_kept_is_in_json_and_in_a_dry_run(toy: Path) -> None:
    keep(toy, "main.py", "/src/tools.py", ".*", "!/.copier-answers.yml")
    before = snapshot(toy)
    done = cli("update", toy, "--dry-run", "--json")
    [row] = json.loads(done.stdout)
    assert row["kept"] == [
        {"path": ".gitignore", "change": "changed", "to": ""},
        {"path": "src/main.py", "change": "changed", "to": ""},
        {"path": "src/tools.py", "change": "renamed", "to": "src/toolbox.py"},
    ]
    assert "src/main.py" not in row["diff"]
    assert snapshot(toy) == before


def test_a_pattern_that_matches_no_file_is_named(toy: Path) -> None:
    keep(toy, "src/main.py", "sources/*.py", "!/src/tool.py", "!logo.bin", "/guide/one.md")
    unused = [
        "  unused    sources/*.py: it is in .mlscaffold.yml, and no file matches\n",
        "  unused    !/src/tool.py: it is in .mlscaffold.yml, and no file matches\n",
    ]
    done = cli("update", toy, "--dry-run")
    assert [one for one in done.stdout.splitlines(keepends=True) if "unused" in one] == unused
    [row] = json.loads(cli("update", toy, "--json", "--branch=new").stdout)
    assert row["unused"] == ["sources/*.py", "!/src/tool.py"]
    said = git(toy, "show", "--no-patch", "--format=%b", "new")
    assert "without effect:\n\n- `sources/*.py`: matches no file\n" in said


def test_folders_are_kept_and_exceptions_are_not(toys: Toys, toy: Path) -> None:
    (toy / "docs" / "own.md").write_text("my own\n")
    keep(toy, "docs/", "/src/*", "!/src/main.py")
    done = toys.update(toy)
    assert kept(done) == {
        "docs/one.md": "renamed guide/one.md",
        "docs/two.md": "renamed guide/two.md",
        "src/extra/__init__.py": "added",
        "src/legacy.py": "deleted",
        "src/toolbox.py": "added",
        "src/tools.py": "renamed src/toolbox.py",
    }
    assert {"src/main.py", "guide/one.md"} <= {*done.changed, *done.added}
    assert (toy / "docs" / "own.md").read_text() == "my own\n"
    assert not (toy / "guide" / "own.md").exists()


def test_a_deleted_file_stays_deleted_and_a_renamed_one_is_kept_where_it_is(
    toys: Toys, toy: Path
) -> None:
    (toy / "src" / "tools.py").unlink()
    git(toy, "mv", "src/main.py", "src/app.py")
    keep(toy, "/src/tools.py", "/src/app.py")
    before = (toy / "src" / "app.py").read_bytes()
    done = toys.update(toy)
    assert kept(done) == {"src/app.py": "changed"}
    assert done.left_out == {"src/toolbox.py": "you deleted src/tools.py"}
    assert (toy / "src" / "app.py").read_bytes() == before
    assert not {"src/tools.py", "src/toolbox.py", "src/main.py"} & files_of(toy).keys()


def test_a_kept_folder_is_not_replaced_by_a_file(toys: Toys, tmp_path: Path) -> None:
    template = template_of(
        tmp_path / "template", {"v1.0.0": {"a": "a\n"}, "v2.0.0": {"notes": "new\n", "a": "b\n"}}
    )
    toy = toys.make(tmp_path / "toy", template=template)
    (toy / "notes").mkdir()
    (toy / "notes" / "mine.md").write_text("mine\n")
    keep(toy, "/notes/*.md")
    done = toys.update(toy)
    assert (kept(done), done.conflicts) == ({"notes": "added"}, {})
    assert (toy / "notes" / "mine.md").read_text() == "mine\n"
    assert (toy / "a").read_text() == "b\n"


def test_a_change_that_the_project_has_already_is_not_named(toys: Toys, toy: Path) -> None:
    fresh = toys.make(toy.parent / "fresh", release="v3.0.0")
    (toy / "logo.bin").write_bytes((fresh / "logo.bin").read_bytes())
    (toy / "src" / "legacy.py").unlink()
    keep(toy, "logo.bin", "legacy.py")
    assert toys.update(toy).kept == ()


def test_answers_branches_and_fleets_keep_too(toys: Toys, toy: Path, tmp_path: Path) -> None:
    keep(toy, "src/store/")
    done = cli("set", "store=database", "--project", toy)
    assert done.stdout == (
        f"{toy}: v1.0.0: 1 changed; staged, not committed\n"
        "  kept      src/store/database.py: the template adds it\n"
        "  kept      src/store/files.py: the template deletes it\n"
    )
    other = toys.make(tmp_path / "other")
    for project in (toy, other):
        keep(project, "run.sh")
    done = cli("update", toy, other, "--branch", "next", "--json")
    rows = json.loads(done.stdout)
    assert [[one["path"] for one in row["kept"]] for row in rows] == [["run.sh"], ["run.sh"]]
    for project in (toy, other):
        assert git(project, "diff", "--name-only", "HEAD", "next", "--", "run.sh") == ""
        assert git(project, "diff", "--name-only", "HEAD", "next", "--", "bin/run") == "bin/run"


BAD = {
    "keep: [a": "can't be read in line 1: expected ',' or ']', but got '<stream end>'",
    "- a": "must hold `keep`, a list of paths and patterns",
    "keep: a\n": "must hold `keep`, a list of paths and patterns",
    "keep: [1]\n": "keeps 1: it must be a path or pattern from the project's folder",
    "keep: ['../x']\n": "keeps '../x': it must be a path or pattern from the project's folder",
    "keep: [./x]\n": "keeps './x': it must be a path or pattern from the project's folder",
    "keep: ['#x']\n": "keeps '#x': it must be a path or pattern from the project's folder",
    "keep: ['']\n": "keeps '': it must be a path or pattern from the project's folder",
    "keep: []\nkept: [x]\n": "holds 'kept'; it can hold `keep` alone",
    "keep: ['.*']\n": "keeps .copier-answers.yml, which records what an update has done: add "
    "'!/.copier-answers.yml' at the end of the list",
}


@pytest.mark.parametrize("text", BAD)
def test_a_bad_file_is_refused_in_one_line(text: str, toy: Path) -> None:
    file = toy / ".mlscaffold.yml"
    file.write_text(text)
    commit(toy)
    before = snapshot(toy)
    for command in (["update"], ["update", "--dry-run"], ["set", "store=database", "--project"]):
        done = cli(*command, toy)
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr == f"error: {file} {BAD[text]}\n"
    assert snapshot(toy) == before


def test_a_path_of_this_machine_is_refused(toy: Path) -> None:
    keep(toy, f"{toy}/run.sh")
    assert cli("update", toy).stderr.endswith(
        "it must be a path or pattern from the project's folder\n"
    )


def test_a_folder_may_be_called_as_one_of_this_machine(toys: Toys, toy: Path) -> None:
    """As in a container that has the project in /src."""
    mine = toy / str(toy).lstrip("/")
    mine.mkdir(parents=True)
    (mine / "run.sh").write_text("mine\n")
    keep(toy, f"{toy}/run.sh")
    assert toys.update(toy).outcome is Outcome.UPDATED
    assert (mine / "run.sh").read_text() == "mine\n"


def test_the_file_must_be_committed(toys: Toys, toy: Path) -> None:
    def refused() -> str:
        done = cli("update", toy, "--branch=next")
        assert done.exit_code == 1
        return done.stderr

    file = toy / ".mlscaffold.yml"
    error = f"error: {file} is not committed as it is on disk: commit it first\n"
    file.write_text("keep: [run.sh]\n")
    assert refused() == error
    committed(toy)
    file.write_text("keep: []\n")
    assert refused() == error
    file.unlink()
    assert refused() == error


@pytest.mark.parametrize("text", ["", "keep: [no/such/file]\n"])
def test_a_file_that_keeps_nothing_changes_nothing(
    text: str, toys: Toys, toy: Path, tmp_path: Path
) -> None:
    plain = toys.make(tmp_path / "plain")
    (toy / ".mlscaffold.yml").write_text(text)
    committed(toy)
    assert toys.update(toy).kept == toys.update(plain).kept == ()
    git(toy, "rm", "--quiet", "--cached", ".mlscaffold.yml")
    assert staged_tree(toy) == staged_tree(plain)
