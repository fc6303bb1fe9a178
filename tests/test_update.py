"""Updates where nothing is in conflict: what is merged, previewed, committed, refused."""

import json
import shutil
from itertools import combinations
from pathlib import Path

import pytest
from evolving import RELEASES, evolving_template, template_of
from templates import commit, git
from toys import Toys, cli, committed, edit, files_of, snapshot, staged_tree, status

from mlscaffold.errors import ProjectError, TemplateError
from mlscaffold.update import Outcome


@pytest.fixture
def toy(toys: Toys, tmp_path: Path) -> Path:
    """A project of the first release."""
    return toys.make(tmp_path / "toy")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A template whose second release changes, adds and removes a file."""
    changes = {
        "v1.0.0": {"kept.txt": "one\n", "gone.txt": "gone\n", "both.txt": "first\n"},
        "v2.0.0": {
            "kept.txt": "two\n",
            "gone.txt": None,
            "new ß.txt": "new\n",
            "both.txt": "theirs\n",
        },
    }
    return template_of(tmp_path / "small", changes)


@pytest.mark.parametrize(("old", "new"), list(combinations(RELEASES, 2)))
def test_without_edits_it_is_a_fresh_render(old: str, new: str, toys: Toys, tmp_path: Path) -> None:
    toy = toys.make(tmp_path / "toy", release=old)
    fresh = toys.make(tmp_path / "fresh", release=new)
    done = toys.update(toy, to=new)
    assert (done.outcome, done.old, done.new) == (Outcome.UPDATED, old, new)
    assert done.conflicts == {}
    assert staged_tree(toy) == staged_tree(fresh)
    assert files_of(toy) == files_of(fresh)


def test_both_sides_changes_are_there(toys: Toys, toy: Path) -> None:
    edit(toy / "src" / "main.py", ("main line 20\n", "main line 20, mine\n"))
    (toy / "src" / "own.py").write_text("mine\n")
    head = committed(toy)
    done = toys.update(toy, to="v1.1.0")
    assert done.changed == (".copier-answers.yml", "crlf.txt", "run.sh", "src/main.py")
    assert (done.added, done.deleted, done.commit) == (("src/extra.py",), (), "")
    main = (toy / "src" / "main.py").read_text().splitlines()
    assert (main[5], main[20], main[30]) == (
        "main improved 5",
        "main line 20, mine",
        "main improved 30",
    )
    assert git(toy, "rev-parse", "HEAD") == head
    assert status(toy) == [
        "M  .copier-answers.yml",
        "M  crlf.txt",
        "M  run.sh",
        "A  src/extra.py",
        "M  src/main.py",
    ]
    assert "_commit: v1.1.0\n" in (toy / ".copier-answers.yml").read_text()
    assert not list(toy.glob(".git/mlscaffold*"))


def test_it_prints_what_was_done(toys: Toys, toy: Path) -> None:
    done = cli("update", toy)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == (
        f"{toy}: v1.0.0 to v3.0.0: 8 changed, 6 added, 5 deleted; staged, not committed\n"
    )
    assert cli("check", toy).stdout == f"{toy}: current (v3.0.0)\n"
    done = cli("update", toy)
    assert (done.exit_code, done.stdout) == (0, f"{toy}: nothing to do at v3.0.0\n")


def test_it_prints_one_document(toys: Toys, toy: Path) -> None:
    edit(toy / "src" / "legacy.py", ("legacy line 1\n", "mine\n"))
    commit(toy)
    done = cli("update", toy, "--to", "v2.0.0", "--json")
    assert done.exit_code == 3
    assert json.loads(done.stdout) == [
        {
            "project": str(toy),
            "outcome": "conflicts",
            "old": "v1.0.0",
            "new": "v2.0.0",
            "added": ["colour.txt", "guide/one.md", "guide/two.md", "src/extra.py",
                      "src/toolbox.py"],
            "changed": [".copier-answers.yml", "crlf.txt", "latest", "logo.bin", "run.sh",
                        "src/main.py"],
            "deleted": ["docs/one.md", "docs/two.md", "src/tools.py"],
            "conflicts": {"src/legacy.py": "you changed what the template removed"},
            "left_out": {},
            "kept": [],
            "unused": [],
            "settled": [],
            "branch": "",
            "commit": "",
            "pushed": False,
            "url": "",
            "diff": "",
            "recovered": "",
            "problem": "",
        }
    ]  # fmt: skip


def test_a_dry_run_shows_all_and_changes_not_one_byte(
    toys: Toys, small: Path, tmp_path: Path
) -> None:
    toy = toys.make(tmp_path / "toy", template=small)
    (toy / "both.txt").write_text("mine\n")
    commit(toy)
    (toy / "untracked.txt").write_text("untracked\n")
    before = snapshot(toy)
    done = cli("update", toy, "--dry-run")
    assert (done.exit_code, done.stderr) == (0, "")
    assert snapshot(toy) == before
    shown = [line for line in done.stdout.splitlines() if not line.startswith("index ")]
    assert (
        shown
        == f"""\
diff --git a/.copier-answers.yml b/.copier-answers.yml
--- a/.copier-answers.yml
+++ b/.copier-answers.yml
@@ -1,4 +1,4 @@
-_commit: v1.0.0
+_commit: v2.0.0
 _src_path: git+{small.as_uri()}
 project_name: toy
 store: files
diff --git a/both.txt b/both.txt
--- a/both.txt
+++ b/both.txt
@@ -1 +1,7 @@
+<<<<<<< yours
 mine
+||||||| template-v1.0.0
+first
+=======
+theirs
+>>>>>>> template-v2.0.0
diff --git a/gone.txt b/gone.txt
deleted file mode 100644
--- a/gone.txt
+++ /dev/null
@@ -1 +0,0 @@
-gone
diff --git a/kept.txt b/kept.txt
--- a/kept.txt
+++ b/kept.txt
@@ -1 +1 @@
-one
+two
diff --git a/new ß.txt b/new ß.txt
new file mode 100644
--- /dev/null
+++ b/new ß.txt	
@@ -0,0 +1 @@
+new

{toy}: v1.0.0 to v2.0.0: 2 changed, 1 added, 1 deleted, 1 in conflict; nothing was changed now
  added     new ß.txt
  deleted   gone.txt
  conflict  both.txt: both changed it
""".splitlines()
    )


def test_nothing_to_do_changes_nothing(toys: Toys, tmp_path: Path) -> None:
    toy = toys.make(tmp_path / "toy", release="v3.0.0")
    (toy / "src" / "main.py").write_text("not committed\n")
    before = snapshot(toy)
    for options in ({}, {"to": "v3.0.0"}, {"dry_run": True}, {"branch": "next"}, {"commits": True}):
        assert toys.update(toy, **options).outcome is Outcome.CURRENT
    assert toys.update(toy, same_release=True, given={"store": "files"}).outcome is Outcome.CURRENT
    assert snapshot(toy) == before


def test_a_release_that_changes_nothing_is_no_commit(toys: Toys, tmp_path: Path) -> None:
    template = template_of(tmp_path / "one", {"v1.0.0": {"a.txt": "a\n"}})
    toy = toys.make(tmp_path / "toy", template=template)
    # Of two tags on one commit, copier records the same.
    git(template, "tag", "v1.0.1", "v1.0.0")
    recorded = (toy / ".copier-answers.yml").read_text()
    before = snapshot(toy)
    done = cli("update", toy, "--commit")
    assert (done.exit_code, (toy / ".copier-answers.yml").read_text()) == (0, recorded)
    assert snapshot(toy) == before


@pytest.mark.parametrize(
    ("to", "line"),
    [
        ("v1.0.0", "{toy} has release v2.0.0, which is newer than v1.0.0"),
        ("v9", "{source} has no release 'v9' here; it has v3.0.0, v2.1.0, v2.0.0, v1.1.0, v1.0.0"),
        ("--all", "{source} has no release '--all' here; it has v3.0.0, v2.1.0, v2.0.0, v1.1.0, "
         "v1.0.0"),
    ],
)  # fmt: skip
def test_a_release_that_does_not_do_is_refused(
    to: str, line: str, toys: Toys, tmp_path: Path
) -> None:
    toy = toys.make(tmp_path / "toy", release="v2.0.0")
    before = snapshot(toy)
    with pytest.raises((ProjectError, TemplateError)) as caught:
        toys.update(toy, to=to)
    assert str(caught.value) == line.format(toy=toy, source=f"git+{toys.template.as_uri()}")
    assert snapshot(toy) == before


def test_a_project_of_a_newer_release_is_told_so(toys: Toys, tmp_path: Path) -> None:
    template = evolving_template(tmp_path / "template")
    toy = toys.make(tmp_path / "toy", template=template, release="v3.0.0")
    git(template, "tag", "--delete", "v3.0.0")
    git(template, "reset", "--quiet", "--hard", "v2.1.0")
    before = snapshot(toy)
    done = cli("update", toy)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: {toy} has release v3.0.0, and v2.1.0 is the newest that mlscaffold knows: "
        "upgrade mlscaffold (`uv tool upgrade mlscaffold-cli`)\n"
    )
    assert snapshot(toy) == before


def test_a_trial_release_is_left_for_the_final_one(toys: Toys, tmp_path: Path) -> None:
    releases = {"v1.0.0": {"a.txt": "1\n"}, "v2.0.0rc1": {"a.txt": "2rc1\n"}}
    template = template_of(tmp_path / "trial", releases)
    toy = toys.make(tmp_path / "toy", template=template, release="v2.0.0rc1")
    assert cli("update", toy).stdout == f"{toy}: nothing to do at v2.0.0rc1\n"
    done = cli("set", "store=database", "--project", toy)
    assert (done.exit_code, done.stderr) == (0, "")
    commit(toy)
    (template / "template" / "a.txt").write_text("2\n")
    commit(template, tag="v2.0.0")
    assert cli("update", toy).stdout == (
        f"{toy}: v2.0.0rc1 to v2.0.0: 2 changed; staged, not committed\n"
    )


def test_what_is_no_project_is_one_line(toys: Toys, toy: Path, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    for arguments in (["update"], ["update", "--dry-run"], ["diff"]):
        done = cli(*arguments, nowhere)
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr == f"error: {nowhere} does not exist\n"
    shutil.rmtree(toy / ".git")
    done = cli("update", toy)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"error: {toy} can't be updated: git rev-parse failed: fatal: ")
    git(toy, "init", "--quiet")
    done = cli("update", toy)
    assert (done.exit_code, done.stderr) == (
        1,
        f"error: {toy} can't be updated: its repository has no commit; "
        "`git init`, `git add .` and `git commit` first\n",
    )
    commit(toy)
    git(toy, "rm", "--quiet", "--cached", ".copier-answers.yml")
    git(toy, "commit", "--quiet", "--message=Untracked")
    done = cli("update", toy)
    assert (done.exit_code, done.stderr) == (
        1,
        f"error: {toy}/.copier-answers.yml is not committed as it is on disk: commit it first\n",
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--continue", "--abort"],
        ["--continue", "--commit"],
        ["--abort", "--to=v1"],
        ["--commit", "--branch=x"],
        ["--jobs=0"],
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(
    arguments: list[str], toys: Toys, toy: Path
) -> None:
    before = snapshot(toy)
    assert cli("update", toy, *arguments).exit_code == 2
    assert snapshot(toy) == before


def test_plain_copier_updates_it_still(toys: Toys, toy: Path) -> None:
    import copier

    edit(toy / "src" / "main.py", ("main line 20\n", "mine\n"))
    commit(toy)
    toys.update(toy, to="v2.0.0", commits=True)
    copier.run_update(toy, defaults=True, overwrite=True, quiet=True)
    fresh = toys.make(toy.parent / "fresh", release="v3.0.0")
    edit(fresh / "src" / "main.py", ("main line 20\n", "mine\n"))
    assert files_of(toy) == files_of(fresh)
