"""`make release`: the tag stays only when the wheel that it gives works."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from templates import commit, copy_checkout, git

CHANGES = "# Changes\n\n## 0.2.0\n\n- A new line.\n\n## 0.1.0\n\n## 0.0.9\n\n- The first.\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of this checkout with the release v0.1.0, and a change of the template since."""
    folder = copy_checkout(tmp_path / "mlscaffold")
    git(folder, "tag", "v0.1.0")
    with (folder / "template" / "Makefile.jinja").open("a") as makefile:
        makefile.write("\n# The second release.\n")
    (folder / "CHANGELOG.md").write_text(CHANGES)
    commit(folder)
    return folder


def release(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The finished script."""
    path = f"{os.environ['PATH']}{os.pathsep}{Path(sys.executable).parent}"
    return subprocess.run(
        [sys.executable, "scripts/release.py", *arguments],
        cwd=checkout,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=500,
    )


def test_a_release_is_tagged_built_and_tried_out(checkout: Path) -> None:
    done = release(checkout, "0.2.0")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "v0.2.0 is tagged here and lies in dist/. What is left to do:\n"
        "  git push --atomic origin main v0.2.0\n"
        "That starts the workflow that builds, attests and publishes it. To take it back before "
        "that:\n"
        "  git tag --delete v0.2.0\n"
    )
    assert git(checkout, "rev-parse", "v0.2.0") == git(checkout, "rev-parse", "HEAD")
    built = {path.name for path in (checkout / "dist").iterdir()} - {".gitignore"}
    assert built == {"mlscaffold_cli-0.2.0-py3-none-any.whl", "mlscaffold_cli-0.2.0.tar.gz"}
    assert git(checkout, "status", "--porcelain") == ""
    wheel = zipfile.ZipFile(checkout / "dist" / "mlscaffold_cli-0.2.0-py3-none-any.whl")
    assert "mlscaffold/releases.bundle" in wheel.namelist()


def test_a_release_that_does_not_work_leaves_no_tag(checkout: Path) -> None:
    (checkout / "dist").mkdir()
    (checkout / "dist" / "kept.whl").write_text("older")
    with (checkout / "template" / "Makefile.jinja").open("a") as makefile:
        makefile.write("{% if %}\n")
    commit(checkout)
    done = release(checkout, "0.2.0")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: mlscaffold new failed: error: the template can't be rendered: ")
    assert git(checkout, "tag", "--list") == "v0.1.0"
    assert [path.name for path in (checkout / "dist").iterdir()] == ["kept.whl"]


def no_change(checkout: Path) -> None:
    pass


def dirty(checkout: Path) -> None:
    (checkout / "new.txt").write_text("new\n")


def elsewhere(checkout: Path) -> None:
    git(checkout, "switch", "--quiet", "--create", "feature")


@pytest.mark.parametrize(
    ("version", "change", "reason"),
    [
        ("v0.2.0", no_change, "VERSION must be X.Y.Z, or X.Y.ZrcN for a trial; got 'v0.2.0'"),
        ("0.2", no_change, "VERSION must be X.Y.Z, or X.Y.ZrcN for a trial; got '0.2'"),
        ("0.1.0", no_change, "VERSION must be newer than v0.1.0, got 0.1.0"),
        ("0.1.0rc1", no_change, "VERSION must be newer than v0.1.0, got 0.1.0rc1"),
        ("0.2.0", dirty, "the checkout has changes: new.txt; commit or stash them"),
        ("0.2.0", elsewhere, "a release is made on main, this is feature"),
        ("0.2.1", no_change, "CHANGELOG.md must say what is new under '## 0.2.1'"),
    ],
)
def test_what_can_be_no_release_is_refused_at_once(
    version: str, change, reason: str, checkout: Path
) -> None:
    change(checkout)
    done = release(checkout, "--check", version)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"error: {reason}\n")
    assert release(checkout, version).stderr == done.stderr
    assert git(checkout, "tag", "--list") == "v0.1.0"


def test_an_empty_section_says_nothing(checkout: Path) -> None:
    git(checkout, "tag", "--delete", "v0.1.0")
    done = release(checkout, "--check", "0.1.0")
    assert done.stderr == "error: CHANGELOG.md must say what is new under '## 0.1.0'\n"
    assert release(checkout, "--check", "0.2.0").returncode == 0
