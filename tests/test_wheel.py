"""The wheel, as it is installed: new without a network, then a newer wheel, then an update."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import yaml
from templates import commit, copy_checkout, git

pytestmark = pytest.mark.slow

URL = "https://github.com/mlscaffold/mlscaffold.git"
DEAD = "http://127.0.0.1:9"

Install = Callable[[Path], Path]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of this checkout as it lies there, released as v0.1.0."""
    folder = copy_checkout(tmp_path_factory.mktemp("source") / "mlscaffold")
    git(folder, "tag", "v0.1.0")
    return folder


@pytest.fixture(scope="module")
def install(tmp_path_factory: pytest.TempPathFactory) -> Install:
    """Builds a checkout and installs the wheel into an empty environment; returns its folder."""

    def installed(checkout: Path) -> Path:
        folder = tmp_path_factory.mktemp("wheel")
        # The sdist first, then the wheel from the sdist, as it is published.
        uv("build", "--quiet", "--out-dir", str(folder), cwd=checkout)
        (wheel,) = folder.glob("*.whl")
        uv("venv", "--quiet", "--python", sys.executable, str(folder / "env"), cwd=folder)
        python = str(folder / "env" / "bin" / "python")
        uv("pip", "install", "--quiet", "--python", python, str(wheel), cwd=folder)
        return folder / "env"

    return installed


@pytest.fixture(scope="module")
def first(source: Path, install: Install) -> Path:
    """An environment with the wheel of v0.1.0."""
    return install(source)


@pytest.fixture(scope="module")
def second(first: Path, source: Path, install: Install) -> Path:
    """An environment with the wheel of v0.2.0, whose Makefile says something new."""
    with (source / "template" / "Makefile.jinja").open("a") as makefile:
        makefile.write("\n# The second release.\n")
    commit(source, tag="v0.2.0")
    return install(source)


@pytest.fixture
def toy(first: Path, tmp_path: Path) -> Path:
    """A project made by the first wheel with the network off."""
    done = offline(first, "new", "toy", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "No uv.lock: uv lock failed: " in done.stdout
    return tmp_path / "toy"


def uv(*arguments: str, cwd: Path, **env: str) -> str:
    """What uv printed, the one beside our Python when there is no other."""
    path = f"{os.environ['PATH']}{os.pathsep}{Path(sys.executable).parent}"
    return subprocess.run(
        ["uv", *arguments],
        cwd=cwd,
        env=os.environ | {"PATH": path} | env,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


def offline(env: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The finished command of an installed wheel, cut off from the network and uv's cache."""
    return subprocess.run(
        [*cut_off(), str(env / "bin" / "mlscaffold"), *arguments],
        cwd=cwd,
        env=os.environ
        | {"HTTPS_PROXY": DEAD, "HTTP_PROXY": DEAD, "ALL_PROXY": DEAD}
        | {"UV_CACHE_DIR": str(env / "cache"), "UV_HTTP_RETRIES": "0"},
        capture_output=True,
        text=True,
        timeout=300,
    )


@cache
def cut_off() -> tuple[str, ...]:
    """The start of a command without a network, where the machine allows to make one."""
    command = ("unshare", "--map-root-user", "--net")
    if shutil.which("unshare") is None:
        return ()
    allowed = subprocess.run([*command, "true"], capture_output=True).returncode == 0
    return command if allowed else ()


def edit(toy: Path) -> None:
    """Commits a change of the user's."""
    readme = toy / "README.md"
    readme.write_text(readme.read_text().replace("# toy\n", "# toy, my own\n"))
    commit(toy)


def require_both_changes(toy: Path) -> None:
    """The project holds the user's change and the second release's, and nothing else changed."""
    assert (toy / "README.md").read_text().startswith("# toy, my own\n")
    assert (toy / "Makefile").read_text().endswith("\n# The second release.\n")
    answers = yaml.safe_load((toy / ".copier-answers.yml").read_text())
    assert (answers["_src_path"], answers["_commit"]) == (URL, "v0.2.0")
    changed = {line.split()[-1] for line in git(toy, "status", "--porcelain").splitlines()}
    assert changed == {"Makefile", ".copier-answers.yml"}


def test_a_project_records_the_public_url_and_no_path(toy: Path, tmp_path: Path) -> None:
    answers = yaml.safe_load((toy / ".copier-answers.yml").read_text())
    assert (answers["_src_path"], answers["_commit"]) == (URL, "v0.1.0")
    for path in filter(Path.is_file, toy.rglob("*")):
        assert str(tmp_path).encode() not in path.read_bytes(), path
    assert git(toy, "status", "--porcelain") == ""


@pytest.mark.parametrize("place", ["a wheel", "git"])
def test_the_command_is_installed_as_a_tool(
    place: str, first: Path, source: Path, tmp_path: Path
) -> None:
    (wheel,) = first.parent.glob("*.whl")
    named = str(wheel) if place == "a wheel" else f"git+{source.as_uri()}@v0.1.0"
    env = {"UV_TOOL_DIR": str(tmp_path / "tools"), "UV_TOOL_BIN_DIR": str(tmp_path / "bin")}
    install = ("tool", "install", "--quiet", "--python", sys.executable)
    uv(*install, named, cwd=tmp_path, **env)
    assert "mlscaffold-cli v0.1.0\n- mlscaffold\n" in uv("tool", "list", cwd=tmp_path, **env)
    assert offline(tmp_path, "--version", cwd=tmp_path).stdout == "0.1.0\n"
    made = offline(tmp_path, "new", "toy", "--no-lock", cwd=tmp_path)
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout.startswith(f"Made toy from {URL} v0.1.0: ")
    once = ("tool", "run", "--python", sys.executable, "--from", named, "mlscaffold", "--version")
    assert uv(*once, cwd=tmp_path, **env) == "0.1.0\n"


def test_the_wheel_has_the_pieces_of_its_release(toy: Path, first: Path) -> None:
    done = offline(first, "add", "model", "lstm", cwd=toy)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Added the model lstm, from release v0.1.0:\n")


def test_a_newer_wheel_finds_the_project_outdated(toy: Path, first: Path, second: Path) -> None:
    assert offline(first, "check", ".", cwd=toy).stdout == ".: current (v0.1.0)\n"
    done = offline(second, "check", ".", cwd=toy)
    assert done.stdout == ".: outdated: v0.1.0 is followed by v0.2.0\n"
    assert done.returncode == 4


def test_an_older_wheel_says_that_it_is_older(first: Path, second: Path, tmp_path: Path) -> None:
    assert offline(second, "new", "toy", "--no-lock", cwd=tmp_path).returncode == 0
    done = offline(first, "check", "toy", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout == (
        "toy: ahead: v0.2.0 is newer than v0.1.0, the newest that mlscaffold knows; "
        "upgrade mlscaffold (`uv tool upgrade mlscaffold-cli`)\n"
    )


def test_a_newer_wheel_still_makes_the_older_release(second: Path, tmp_path: Path) -> None:
    done = offline(second, "new", "toy", "--ref=v0.1.0", "--no-lock", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "The second release" not in (tmp_path / "toy" / "Makefile").read_text()


def test_an_older_wheel_updates_no_newer_project(first: Path, second: Path, tmp_path: Path) -> None:
    assert offline(second, "new", "toy", "--no-lock", cwd=tmp_path).returncode == 0
    done = offline(first, "update", "toy", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: toy has release v0.2.0, and v0.1.0 is the newest that mlscaffold knows: "
        "upgrade mlscaffold (`uv tool upgrade mlscaffold-cli`)\n"
    )
    assert git(tmp_path / "toy", "status", "--porcelain") == ""


def test_a_newer_wheel_merges_its_release_into_an_edited_project(toy: Path, second: Path) -> None:
    edit(toy)
    done = offline(second, "update", cwd=toy)
    assert done.stdout == ".: v0.1.0 to v0.2.0: 2 changed; staged, not committed\n"
    assert (done.returncode, done.stderr) == (0, "")
    require_both_changes(toy)


def test_a_teammate_with_empty_caches_updates_as_well(
    toy: Path, second: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(toy)
    clone = tmp_path / "teammate" / "my clone"
    git(tmp_path, "clone", "--quiet", str(toy), str(clone))
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    done = offline(second, "update", cwd=clone)
    assert (done.returncode, done.stderr) == (0, "")
    require_both_changes(clone)
    assert list((tmp_path / "home").iterdir()) == []


def test_plain_copier_update_keeps_both_changes(toy: Path, source: Path, second: Path) -> None:
    edit(toy)
    # The public URL, as it will resolve: to a repository with these releases.
    env = os.environ | {
        "COPIER_CACHE_DIR": str(toy.parent / "copier"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{source}.insteadOf",
        "GIT_CONFIG_VALUE_0": URL,
    }
    copier = [second / "bin" / "copier", "update", "--defaults", "--quiet"]
    done = subprocess.run(copier, cwd=toy, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    require_both_changes(toy)
