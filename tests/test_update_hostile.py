"""Updates where the machine, the repository or the answers file is not as one would like it."""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from templates import commit, git
from toys import Toys, cli, edit, snapshot

Held = dict[str, tuple[str, bytes]]

SETTINGS = {
    "apply.whitespace": "error",
    "branch.autoSetupMerge": "always",
    "color.ui": "always",
    "commit.gpgSign": "true",
    "core.autocrlf": "true",
    "core.eol": "crlf",
    "core.excludesFile": "{home}/everything",
    "core.fsmonitor": "{home}/fails",
    "core.hooksPath": "{home}/hooks",
    "core.ignoreCase": "true",
    "core.pager": "false",
    "core.precomposeUnicode": "true",
    "core.preloadIndex": "false",
    "core.quotePath": "true",
    "core.safecrlf": "true",
    "core.splitIndex": "true",
    "core.untrackedCache": "true",
    "core.whitespace": "tab-in-indent",
    "diff.external": "{home}/fails",
    "diff.ignoreSubmodules": "all",
    "diff.noprefix": "true",
    "diff.renames": "false",
    "feature.manyFiles": "true",
    "index.version": "4",
    "init.defaultBranch": "trunk",
    "log.showSignature": "true",
    "merge.conflictStyle": "merge",
    "merge.directoryRenames": "false",
    "merge.renames": "false",
    "merge.renameLimit": "1",
    "merge.verbosity": "5",
    "receive.denyCurrentBranch": "refuse",
    "status.relativePaths": "true",
    "status.showUntrackedFiles": "no",
    "submodule.recurse": "true",
    "user.useConfigOnly": "true",
}
ALIASES = "status", "update-index", "merge-tree", "commit-tree", "ls-files", "diff-tree"
DRIVERS = {
    "diff.evil.command": "{home}/fails",
    "diff.evil.textconv": "{home}/fails",
    "merge.evil.driver": "cp %B %A",
    "merge.default": "evil",
}


def held(project: Path, commit: str = "HEAD") -> Held:
    """By path, mode and bytes of all that a commit holds."""
    listed = git(project, "ls-tree", "-r", "-z", "--full-tree", commit)
    found = {}
    for record in filter(None, listed.split("\0")):
        fields, _, path = record.partition("\t")
        mode, _, id = fields.split()
        show = ["git", "cat-file", "blob", id]
        content = subprocess.run(show, cwd=project, check=True, capture_output=True).stdout
        found[path] = mode, content.replace(str(project).encode(), b"")
    return found


@pytest.fixture(scope="module")
def original(toys: Toys, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with edits beside what the next releases change, and a merge driver of its own."""
    toy = toys.make(tmp_path_factory.mktemp("original") / "toy")
    edit(toy / "src" / "main.py", ("main line 20\n", "mine 20   \n\t \n"))
    edit(toy / "docs" / "two.md", ("two line 20\n", "mine 20\n"))
    (toy / ".gitattributes").write_text("*.py merge=evil diff=evil\n*.md merge=union\n")
    commit(toy)
    return toy


@pytest.fixture
def toy(original: Path, tmp_path: Path) -> Path:
    """The same anew."""
    return shutil.copytree(original, tmp_path / "toy", symlinks=True)


@pytest.fixture(scope="module")
def expected(toys: Toys, original: Path, tmp_path_factory: pytest.TempPathFactory) -> Held:
    """What its update holds where nothing is odd."""
    plain = tmp_path_factory.mktemp("plain") / "toy"
    shutil.copytree(original, plain, symlinks=True)
    toys.update(plain, commits=True)
    found = held(plain)
    assert b"mine 20   \n\t \n" in found["src/main.py"][1]
    assert b"mine 20\n" in found["guide/two.md"][1]
    return found


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home; its programs and hooks fail."""
    home = tmp_path / "home"
    (home / "hooks").mkdir(parents=True)
    (home / "everything").write_text("*\n")
    for name in ("fails", *(f"hooks/{hook}" for hook in HOOKS)):
        (home / name).write_text(f"#!/bin/sh\ntouch '{home}/ran'\nexit 1\n")
        (home / name).chmod(0o755)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return home


HOOKS = ("pre-commit", "commit-msg", "post-commit", "post-checkout", "post-index-change",
         "pre-auto-gc", "reference-transaction", "prepare-commit-msg", "post-merge")  # fmt: skip


def configure(toy: Path, where: str, settings: Mapping[str, str], home: Path) -> None:
    for name, value in settings.items():
        git(toy, "config", where, name, value.format(home=home))


@pytest.mark.parametrize("setting", [*SETTINGS, *DRIVERS])
@pytest.mark.parametrize("where", ["--global", "--local"])
def test_a_setting_of_git_changes_nothing(
    setting: str, where: str, toys: Toys, toy: Path, expected: Held, home: Path
) -> None:
    configure(toy, where, {setting: {**SETTINGS, **DRIVERS}[setting]}, home)
    toys.update(toy, commits=True)
    assert not (home / "ran").exists()
    assert held(toy) == expected


@pytest.mark.parametrize("where", ["--global", "--local"])
def test_all_settings_together_change_nothing(
    where: str, toy: Path, expected: Held, home: Path
) -> None:
    aliases = {f"alias.{name}": "!false" for name in ALIASES}
    configure(toy, where, {**SETTINGS, **DRIVERS, **aliases}, home)
    dry = cli("update", toy, "--dry-run")
    assert (dry.exit_code, dry.stderr) == (0, "")
    assert "\n+main again 5\n" in dry.stdout
    done = cli("update", toy, "--commit")
    assert (done.exit_code, done.stderr) == (0, "")
    assert not (home / "ran").exists()
    assert held(toy) == expected
    diff = cli("diff", toy)
    assert (diff.exit_code, diff.stderr) == (0, "")
    assert "+mine 20\n" in diff.stdout
    assert diff.stdout.count("diff --git") == 2


def no_home(toy: Path, patch: pytest.MonkeyPatch) -> Path:
    patch.delenv("HOME")
    return toy


def no_user(toy: Path, patch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        patch.delenv(name)
    return toy


def hooks(toy: Path, patch: pytest.MonkeyPatch) -> Path:
    (toy / ".git" / "hooks").mkdir(exist_ok=True)
    for hook in HOOKS:
        (toy / ".git" / "hooks" / hook).write_text("#!/bin/sh\nexit 1\n")
        (toy / ".git" / "hooks" / hook).chmod(0o755)
    return toy


def linked(toy: Path, patch: pytest.MonkeyPatch) -> Path:
    folder = toy.parent / "linked"
    git(toy, "worktree", "add", "--quiet", str(folder))
    return folder


def odd_path(toy: Path, patch: pytest.MonkeyPatch) -> Path:
    return toy.rename(toy.parent / " ünï ' \" ; $(x) [a]* \\ :(top)")


def through_a_link(toy: Path, patch: pytest.MonkeyPatch) -> Path:
    (toy.parent / "link").symlink_to(toy)
    return toy.parent / "link"


def relative_path(toy: Path, patch: pytest.MonkeyPatch) -> Path:
    patch.chdir(toy / "src")
    return Path("..")


def sha256(toy: Path, patch: pytest.MonkeyPatch) -> Path:
    shutil.rmtree(toy / ".git")
    git(toy, "init", "--quiet", "--object-format=sha256")
    commit(toy)
    return toy


def split_index(toy: Path, patch: pytest.MonkeyPatch) -> Path:
    git(toy, "update-index", "--split-index")
    return toy


def detached(toy: Path, patch: pytest.MonkeyPatch) -> Path:
    git(toy, "checkout", "--quiet", "--detach")
    return toy


def git_dir_elsewhere(toy: Path, patch: pytest.MonkeyPatch) -> Path:
    git(toy, "init", "--quiet", f"--separate-git-dir={toy.parent / 'git dir'}")
    git(toy, "config", "core.worktree", str(toy))
    return toy


def shallow(toy: Path, patch: pytest.MonkeyPatch) -> Path:
    git(toy.parent, "clone", "--quiet", "--depth=1", toy.as_uri(), "shallow")
    return toy.parent / "shallow"


def borrowing(toy: Path, patch: pytest.MonkeyPatch) -> Path:
    git(toy.parent, "clone", "--quiet", "--shared", str(toy), "borrow:ing")
    return toy.parent / "borrow:ing"


def packed(toy: Path, patch: pytest.MonkeyPatch) -> Path:
    git(toy, "gc", "--quiet")
    git(toy, "pack-refs", "--all")
    return toy


def inside_a_hook(toy: Path, patch: pytest.MonkeyPatch) -> Path:
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GIT_OBJECT_DIRECTORY"):
        patch.setenv(name, str(toy.parent / "nowhere"))
    return toy


def settings_in_the_environment(toy: Path, patch: pytest.MonkeyPatch) -> Path:
    patch.setenv("GIT_CONFIG_COUNT", "1")
    patch.setenv("GIT_CONFIG_KEY_0", "merge.renames")
    patch.setenv("GIT_CONFIG_VALUE_0", "false")
    patch.setenv("GIT_EXTERNAL_DIFF", "false")
    patch.setenv("GIT_PAGER", "false")
    patch.setenv("GIT_DIFF_OPTS", "--unified=0")
    return toy


def a_template_for_repositories(toy: Path, patch: pytest.MonkeyPatch) -> Path:
    patch.setenv("GIT_TEMPLATE_DIR", str(toy))
    return toy


@pytest.mark.parametrize(
    "place",
    [no_home, no_user, hooks, linked, odd_path, through_a_link, relative_path, sha256, split_index,
     detached, git_dir_elsewhere, shallow, borrowing, packed, inside_a_hook,
     settings_in_the_environment, a_template_for_repositories],
)  # fmt: skip
def test_odd_places_change_nothing(
    place: Callable[[Path, pytest.MonkeyPatch], Path],
    toys: Toys,
    toy: Path,
    expected: Held,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        project = place(toy, patch)
        toys.update(project, commits=True)
        project = project.resolve()
    assert held(project) == expected
    assert git(project, "status", "--porcelain") == ""


def test_a_worktree_elsewhere_is_no_project(toy: Path) -> None:
    git(toy, "config", "core.worktree", "../../nowhere")
    before = snapshot(toy)
    done = cli("update", toy)
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(f"error: {toy} can't be updated: ")
    assert snapshot(toy) == before
