"""Make a release on this machine: its tag, and its tested sdist and wheel in dist/.

    make release VERSION=1.2.3

Nothing is pushed. If a step fails, the tag is removed and dist/ is left as it was.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).parents[1]
BRANCH = "main"
OFFLINE = {
    **dict.fromkeys(("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9"),
    **dict.fromkeys(("all_proxy", "http_proxy", "https_proxy"), "http://127.0.0.1:9"),
}
AUTHOR = {
    f"GIT_{role}_{key}": value
    for role in ("AUTHOR", "COMMITTER")
    for key, value in (("NAME", "Release"), ("EMAIL", "release@example.com"))
}
EDIT = "\nA line of the user's.\n"
LEFT_TO_DO = """\
v{version} is tagged here and lies in dist/. What is left to do:
  git push --atomic origin {branch} v{version}
That starts the workflow that builds, attests and publishes it. To take it back before that:
  git tag --delete v{version}"""


class ReleaseError(Exception):
    """The release can't be made, with the reason in one line."""


def main() -> None:
    """Make the release that the command line names, or exit with one line that says why not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", help="X.Y.Z, for a trial X.Y.ZrcN")
    parser.add_argument("--check", action="store_true", help="only say whether it may be made")
    arguments = parser.parse_args()
    released = release_tags()
    try:
        require_version(arguments.version, released)
        require_checkout()
        require_changes(arguments.version)
        if not arguments.check:
            release(arguments.version, released)
            print(LEFT_TO_DO.format(version=arguments.version, branch=BRANCH))
    except ReleaseError as error:
        sys.exit(f"error: {error}")


def release(version: str, released: Sequence[str]) -> None:
    """Tag HEAD as vVERSION, and put its tested sdist and wheel into dist/."""
    tag = f"v{version}"
    with tagged(tag), TemporaryDirectory(prefix="mlscaffold-release-") as folder:
        scratch = Path(folder)
        run("uv", "build", "--quiet", "--out-dir", scratch / "dist", cwd=ROOT)
        (wheel,) = (scratch / "dist").glob("*.whl")
        require_release_in(wheel, tag, scratch)
        mlscaffold = installed(wheel, scratch)
        require_new(mlscaffold, version, scratch)
        if released:
            require_update(mlscaffold, released[-1], tag, scratch)
        put_in_dist(scratch / "dist")


def release_tags() -> list[str]:
    """Return the tags of the releases so far, the oldest first."""
    tags = run("git", "tag", "--list", "v*", cwd=ROOT).split()
    return sorted(filter(version_of, tags), key=Version)


def version_of(tag: str) -> Version | None:
    """Return the version that a tag names."""
    try:
        return Version(tag)
    except InvalidVersion:
        return None


def require_version(version: str, released: Sequence[str]) -> None:
    """Raise ReleaseError unless the version is valid and newer than any release."""
    if not re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}(rc[1-9]\d*)?", version):
        raise ReleaseError(f"VERSION must be X.Y.Z, or X.Y.ZrcN for a trial; got {version!r}")
    if released and Version(version) <= Version(released[-1]):
        raise ReleaseError(f"VERSION must be newer than {released[-1]}, got {version}")


def require_checkout() -> None:
    """Raise ReleaseError unless all is committed, on the branch for releases."""
    branch = run("git", "branch", "--show-current", cwd=ROOT)
    if branch != BRANCH:
        raise ReleaseError(f"a release is made on {BRANCH}, this is {branch or 'no branch'}")
    changed = run("git", "status", "--porcelain", cwd=ROOT).splitlines()
    if changed:
        raise ReleaseError(f"the checkout has changes: {changed[0][3:]}; commit or stash them")
    if run("git", "rev-parse", "--is-shallow-repository", cwd=ROOT) == "true":
        raise ReleaseError("the wheel carries every release: run git fetch --unshallow --tags")


def require_changes(version: str) -> None:
    """Raise ReleaseError unless CHANGELOG.md has a section for the release."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    section = re.search(rf"^## {re.escape(version)}\b.*\n((?:(?!## ).*\n?)*)", text, re.MULTILINE)
    if section is None or not section[1].strip():
        raise ReleaseError(f"CHANGELOG.md must say what is new under '## {version}'")


@contextmanager
def tagged(tag: str) -> Generator[None]:
    """Set the tag for the block, and remove it if the block fails."""
    run("git", "tag", tag, cwd=ROOT)
    try:
        yield
    except BaseException:
        run("git", "tag", "--delete", tag, cwd=ROOT)
        raise


def require_release_in(wheel: Path, tag: str, scratch: Path) -> None:
    """Raise ReleaseError unless the wheel contains the tag as it is here."""
    with zipfile.ZipFile(wheel) as archive:
        bundle = archive.extract("mlscaffold/releases.bundle", scratch)
    heads = run("git", "bundle", "list-heads", bundle, f"refs/tags/{tag}", cwd=ROOT)
    if heads != f"{run('git', 'rev-parse', tag, cwd=ROOT)} refs/tags/{tag}":
        raise ReleaseError(f"{wheel.name} does not carry {tag} as it is here")


def installed(wheel: Path, scratch: Path) -> Path:
    """Install the wheel into a new environment; return its command `mlscaffold`."""
    environment = scratch / "environment"
    run("uv", "venv", "--quiet", "--python", sys.executable, environment, cwd=scratch)
    python = environment / "bin" / "python"
    run("uv", "pip", "install", "--quiet", "--python", python, wheel, cwd=scratch)
    return environment / "bin" / "mlscaffold"


def require_new(mlscaffold: Path, version: str, scratch: Path) -> None:
    """Check that the wheel creates a project of the release without a network."""
    found = run(mlscaffold, "--version", cwd=scratch)
    if found != version:
        raise ReleaseError(f"the wheel says that it is {found}, not {version}")
    ref = ("--ref", f"v{version}")
    made = run(mlscaffold, "new", "new", *ref, "--no-lock", "--json", cwd=scratch, env=OFFLINE)
    if json.loads(made)["release"] != f"v{version}":
        raise ReleaseError(f"a new project is not of v{version}")


def require_update(mlscaffold: Path, old: str, tag: str, scratch: Path) -> None:
    """Check that the wheel updates an edited project of the last release, without a network."""
    arguments = ("--ref", old, "--defaults", "--no-lock")
    run(mlscaffold, "new", "old", *arguments, cwd=scratch, env=OFFLINE)
    project = scratch / "old"
    with (project / "LICENSE").open("a", encoding="utf-8") as license:
        license.write(EDIT)
    run("git", "commit", "--all", "--quiet", "--message=Edit", cwd=project, env=AUTHOR)
    run(mlscaffold, "update", "--to", tag, cwd=project, env=OFFLINE)
    if f"_commit: {tag}\n" not in (project / ".copier-answers.yml").read_text(encoding="utf-8"):
        raise ReleaseError(f"a project of {old} is not of {tag} after its update")
    if not (project / "LICENSE").read_text(encoding="utf-8").endswith(EDIT):
        raise ReleaseError(f"the update from {old} to {tag} lost an edit of LICENSE")


def put_in_dist(built: Path) -> None:
    """Replace what is in dist/ by what was built."""
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    shutil.copytree(built, ROOT / "dist")


def run(*command: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """Return what the command printed; raise ReleaseError with its last line if it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True
    )
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()
        raise ReleaseError(f"{Path(words[0]).name} {words[1]} failed: {said[-1].strip()}")
    return done.stdout.strip()


if __name__ == "__main__":
    main()
