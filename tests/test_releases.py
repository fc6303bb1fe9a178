"""The bundle of releases: the same bytes from the same checkout, whatever its kind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from templates import commit, commit_template, git

from mlscaffold.errors import TemplateError
from mlscaffold.rendering.bundle import tag_of, unpack, write_bundle, write_index
from mlscaffold.rendering.releases import open_releases, version_of


def bundled(checkout: Path, bundle: Path) -> dict[str, str]:
    """The refs in the bundle that is written of the checkout, with their commits."""
    write_bundle(checkout, bundle, tag="v9.9.9")
    heads = git(bundle.parent, "bundle", "list-heads", str(bundle)).splitlines()
    return {name: commit for commit, name in (line.split() for line in heads)}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clone with two releases and a commit after them."""
    folder = commit_template(tmp_path / "checkout", tag="v0.1.0")
    commit(folder, tag="v0.2.0")
    git(folder, "tag", "other")
    commit(folder)
    return folder


def test_a_clone_with_tags_gives_all_its_releases(checkout: Path, tmp_path: Path) -> None:
    refs = bundled(checkout, tmp_path / "a")
    assert set(refs) == {"HEAD", "refs/heads/main", "refs/tags/v0.1.0", "refs/tags/v0.2.0"}
    assert refs == bundled(checkout, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_detached_head_does_too(checkout: Path, tmp_path: Path) -> None:
    git(checkout, "checkout", "--quiet", "--detach", "v0.1.0")
    refs = bundled(checkout, tmp_path / "bundle")
    assert set(refs) == {"HEAD", "refs/tags/v0.1.0", "refs/tags/v0.2.0"}
    git(tmp_path, "clone", "--quiet", "--mirror", "bundle", "mirror.git")
    assert git(tmp_path / "mirror.git", "rev-parse", "HEAD") == refs["refs/tags/v0.1.0"]


@pytest.mark.parametrize("at", ["main", "v0.1.0"])
def test_it_is_unpacked_as_git_clones_it(at: str, checkout: Path, tmp_path: Path) -> None:
    git(checkout, "checkout", "--quiet", at)
    git(checkout, "tag", "--annotate", "--message=", "v0.3.0")
    bundled(checkout, tmp_path / "bundle")
    for index in ("a.idx", "b.idx"):
        write_index(tmp_path / "bundle", tmp_path / index)
    assert (tmp_path / "a.idx").read_bytes() == (tmp_path / "b.idx").read_bytes()
    unpack(tmp_path / "bundle", tmp_path / "a.idx", tmp_path / "ours.git")
    git(tmp_path, "clone", "--quiet", "--mirror", "bundle", "theirs.git")
    asked = [["show-ref", "--dereference", "--head"], ["fsck", "--strict"], ["describe", "--tags"]]
    asked.append(["symbolic-ref", "--quiet", "HEAD"] if at == "main" else ["rev-parse", "HEAD"])
    ours, theirs = (
        [git(tmp_path / one, *ask) for ask in asked] for one in ("ours.git", "theirs.git")
    )
    assert ours == theirs


def no_tags(checkout: Path) -> Path:
    git(checkout, "tag", "--delete", "v0.1.0", "v0.2.0")
    return checkout


def test_a_clone_without_tags_gives_its_history(checkout: Path, tmp_path: Path) -> None:
    refs = bundled(no_tags(checkout), tmp_path / "a")
    assert set(refs) == {"HEAD", "refs/heads/main"}
    assert refs["HEAD"] == git(checkout, "rev-parse", "HEAD")


def no_git(checkout: Path) -> Path:
    (checkout / ".git").rename(checkout.parent / "elsewhere")
    return checkout


def dirty(checkout: Path) -> Path:
    (checkout / "template" / "new.txt").write_text("new\n")
    return checkout


def shallow(checkout: Path) -> Path:
    clone = checkout.parent / "shallow"
    git(checkout.parent, "clone", "--quiet", "--depth=1", checkout.as_uri(), str(clone))
    git(clone, "tag", "v0.3.0")
    return clone


@pytest.mark.parametrize("change", [no_git, dirty, shallow])
def test_any_other_checkout_is_one_release_by_itself(
    change, checkout: Path, tmp_path: Path
) -> None:
    changed = change(checkout)
    (changed / "template" / "__pycache__").mkdir()
    (changed / "template" / "__pycache__" / "x.pyc").write_bytes(b"x")
    refs = bundled(changed, tmp_path / "a")
    assert set(refs) == {"HEAD", "refs/heads/main", "refs/tags/v9.9.9"}
    bundled(changed, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    git(tmp_path, "clone", "--quiet", "a", "clone")
    held = git(tmp_path / "clone", "ls-files").splitlines()
    files = [path for path in changed.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    listed = [path.relative_to(changed).as_posix() for path in files]
    assert held == sorted(name for name in listed if not name.startswith(".git/"))


@pytest.mark.parametrize(
    ("version", "tag"),
    [
        ("0.1.0", "v0.1.0"),
        ("0.1.dev3+g1234abc", "v0.1.dev3-0-g1234abc"),
        ("0.1.dev3+g1234abc.d20260102", "v0.1.dev3-0-g1234abc"),
    ],
)
def test_the_tag_of_a_version_names_its_commit(version: str, tag: str) -> None:
    assert tag_of(version) == tag


def test_a_release_by_itself_is_found_again_in_a_full_clone(checkout: Path) -> None:
    commit_id = git(checkout, "rev-parse", "HEAD")
    with open_releases(str(checkout)) as releases:
        assert releases.commit(f"v0.1.dev3-0-g{commit_id[:9]}") == commit_id


def test_a_final_release_comes_before_a_newer_trial(checkout: Path) -> None:
    commit(checkout, tag="v0.3.0rc1")
    with open_releases(str(checkout)) as releases:
        assert releases.latest() == "v0.2.0"
        assert releases.tags() == ["v0.2.0", "v0.1.0", "v0.3.0rc1"]


def test_a_template_without_releases_is_its_newest_commit(tmp_path: Path) -> None:
    folder = commit_template(tmp_path / "fork")
    with open_releases(str(folder)) as releases:
        assert releases.latest() == git(folder, "rev-parse", "--short", "HEAD")


def test_a_bare_repository_is_a_template_too(checkout: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--bare", str(checkout), "bare")
    with open_releases(str(tmp_path / "bare")) as releases:
        assert releases.latest() == "v0.2.0"
        assert releases.read("v0.2.0", "copier.yml") == git(checkout, "show", "v0.2.0:copier.yml")
        assert releases.read("v0.2.0", "absent.txt") == ""


def test_a_ref_is_never_an_option(checkout: Path) -> None:
    with open_releases(str(checkout)) as releases, pytest.raises(TemplateError):
        releases.find("--all")


@pytest.mark.parametrize(
    ("recorded", "version"),
    [
        ("v0.1.0", "0.1.0"),
        ("v0.1.0-3-g1234abc", "0.1.0"),
        ("1234abc", None),
        ("1234567", None),
        ("12345a6", None),
        ("v1234567", "v1234567"),
        ("HEAD", None),
    ],
)
def test_the_version_of_a_recorded_commit(recorded: str, version: str | None) -> None:
    assert version_of(recorded) == (version and version_of(version))


def test_hostile_settings_of_git_change_nothing(tmp_path: Path, checkout: Path) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("post-checkout", "pre-commit", "commit-msg"):
        (hooks / name).write_text("#!/bin/sh\nexit 1\n")
        (hooks / name).chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    (home / "ignored").write_text("*\n")
    (home / ".gitconfig").write_text(
        f"[core]\nhooksPath = {hooks}\nautocrlf = true\nexcludesFile = {home}/ignored\n"
        f"[commit]\ngpgSign = true\n[init]\ntemplateDir = {hooks}\ndefaultBranch = trunk\n"
        '[url "https://nowhere.invalid/"]\ninsteadOf = https://github.com/\n'
        "[protocol]\nallow = always\n"
    )
    script = (
        "import sys; from pathlib import Path; from mlscaffold.new import new; "
        "print(new(sys.argv[1], given={'author_name': 'Grace Hopper'}, with_lock=False).commit)"
    )
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")} | {"HOME": str(home)}
    toy = tmp_path / "toy"
    command = [sys.executable, "-c", script, str(toy)]
    # Elsewhere than in this repository, which may have settings of its own.
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert git(toy, "rev-parse", "main") == done.stdout.strip()
    assert git(toy, "log", "--format=%an <%ae>") == "Grace Hopper <authors@example.com>"
    assert git(toy, "status", "--porcelain") == ""
    assert b"\r" not in (toy / "pyproject.toml").read_bytes()
