"""Writes releases of the template as git objects: into the wheel, or on the fly from a checkout.

Needs nothing but git and the standard library, since the build hook runs it too.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from ..repository import git

# All that a release of the template consists of, from the repository's top.
TEMPLATE_PATHS = ("components.yml", "copier.yml", "readme", "reserved-names.txt", "template")

_LEFT_BEHIND = {"__pycache__", ".venv", ".ruff_cache", ".pytest_cache", ".DS_Store"}
_COMMITTER = "mlscaffold <mlscaffold@users.noreply.github.com> 1700000000 +0000"


def write_bundle(checkout: Path, bundle: Path, *, tag: str) -> None:
    """Writes the file `bundle` with the releases that `checkout` holds.

    A clean, complete clone with release tags gives its own history and tags. Anything else, such as
    an unpacked archive, is one release by itself: the files as they are, in one commit named `tag`.
    The same input gives the same bytes.
    """
    refs = _release_refs(checkout)
    if refs:
        _bundle(checkout, bundle, refs)
        return
    with TemporaryDirectory(prefix="mlscaffold-") as folder:
        repository = Path(folder, "releases.git")
        write_release(checkout, repository, tag=tag)
        _bundle(repository, bundle, ["HEAD", "refs/heads/main", f"refs/tags/{tag}"])


def write_release(checkout: Path, repository: Path, *, tag: str) -> None:
    """Makes the bare `repository` with one commit, tagged `tag`: the template as it lies there."""
    git.run("init", "--quiet", "--bare", "--template=", "--initial-branch=main", repository)
    stream = b"".join(_import_stream(checkout, tag=tag))
    git.run("fast-import", "--quiet", cwd=repository, stdin=stream)


def holds_template(folder: Path) -> bool:
    """Whether the folder is this project's own source, with the template in it."""
    return (folder / "hatch_build.py").is_file() and (folder / "copier.yml").is_file()


def _bundle(repository: Path, bundle: Path, refs: list[str]) -> None:
    # More than one thread packs in an order of chance.
    command = ("-c", "pack.threads=1", "bundle", "create", "--quiet")
    git.run(*command, bundle.resolve(), *refs, cwd=repository, isolated=False)


def _release_refs(checkout: Path) -> list[str]:
    """HEAD, its branch and every release tag; empty when the clone can't speak for itself."""

    def ask(*arguments: str) -> str:
        # The user's settings say whether git may trust a clone that somebody else owns.
        return git.run(*arguments, cwd=checkout, isolated=False)

    if not (checkout / ".git").exists() or shutil.which("git") is None:
        return []
    tags = ask("for-each-ref", "--format=%(refname)", "refs/tags/v*").split()
    shallow = ask("rev-parse", "--is-shallow-repository") == "true"
    if not tags or shallow or ask("status", "--porcelain", "--", *TEMPLATE_PATHS):
        return []
    branch = ask("for-each-ref", "--format=%(refname)", "--points-at=HEAD", "refs/heads")
    return ["HEAD", *branch.split()[:1], *tags]


def _import_stream(checkout: Path, *, tag: str) -> Iterator[bytes]:
    yield f"commit refs/heads/main\ncommitter {_COMMITTER}\n".encode()
    yield _data(f"The template of {tag}\n".encode())
    for path in _files(checkout):
        mode = "100755" if os.access(path, os.X_OK) else "100644"
        yield f"M {mode} inline {path.relative_to(checkout).as_posix()}\n".encode()
        yield _data(path.read_bytes())
    yield f"reset refs/tags/{tag}\nfrom refs/heads/main\n".encode()


def _data(content: bytes) -> bytes:
    return b"data %d\n%b\n" % (len(content), content)


def _files(checkout: Path) -> list[Path]:
    found = (
        path
        for top in TEMPLATE_PATHS
        for path in [checkout / top, *(checkout / top).rglob("*")]
        if path.is_file() and path.suffix != ".pyc"
    )
    return sorted(path for path in found if not _LEFT_BEHIND & set(path.parts))
