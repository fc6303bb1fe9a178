"""Write releases of the template as git objects: into the wheel, or on the fly from a checkout.

Needs nothing but git and the standard library, since the build hook runs it too.
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from ..repository import git

# The paths that make up a release of the template, relative to the repository.
TEMPLATE_PATHS = (
    "components.yml",
    "copier.yml",
    "pieces",
    "readme",
    "reserved-names.txt",
    "template",
)
# Those of them that nearly every command reads.
SETTINGS = ("components.yml", "copier.yml", "reserved-names.txt")

_LEFT_BEHIND = {"__pycache__", ".venv", ".ruff_cache", ".pytest_cache", ".DS_Store"}
_COMMITTER = "mlscaffold <mlscaffold@users.noreply.github.com> 1700000000 +0000"


def write_bundle(checkout: Path, bundle: Path, *, tag: str) -> None:
    """Write the file `bundle` with the releases that `checkout` holds.

    A clean, complete clone gives its own history and release tags. Anything else, such as an
    unpacked archive, is one release by itself: the files as they are, in one commit named `tag`.
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


def write_index(bundle: Path, index: Path) -> None:
    """Write the index of a bundle's objects, with which `unpack` need not read all of them."""
    with TemporaryDirectory(prefix="mlscaffold-") as folder:
        pack = Path(folder, "objects.pack")
        pack.write_bytes(bundle.read_bytes().partition(b"\n\n")[2])
        # In a folder of its own: around the bundle there may be what git can't read.
        git.run("index-pack", "-o", index.resolve(), pack, cwd=Path(folder))


def unpack(bundle: Path, index: Path, repository: Path) -> None:
    """Make the bare `repository` of a bundle as git's clone does, without running git.

    Raises ValueError if it is not a whole bundle of objects named by SHA-1, FileNotFoundError if
    there is no index.
    """
    known = index.read_bytes()
    head, _, pack = bundle.read_bytes().partition(b"\n\n")
    first, *lines = head.decode().splitlines()
    refs = {name: id for id, _, name in (line.partition(" ") for line in lines)}
    is_whole = "HEAD" in refs and not any(id.startswith("-") for id in refs.values())
    if first != "# v2 git bundle" or not is_whole:
        raise ValueError(first)
    objects = repository / "objects" / "pack"
    objects.mkdir(parents=True)
    (objects / "pack-releases.pack").write_bytes(pack)
    (objects / "pack-releases.idx").write_bytes(known)
    (repository / "refs").mkdir()
    at = refs.pop("HEAD")
    branches = [name for name, id in refs.items() if name.startswith("refs/heads/") and id == at]
    (repository / "HEAD").write_text(f"ref: {branches[0]}\n" if branches else f"{at}\n")
    (repository / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = true\n")
    packed = "".join(f"{refs[name]} {name}\n" for name in sorted(refs))
    (repository / "packed-refs").write_text(packed)


def write_release(checkout: Path, repository: Path, *, tag: str) -> None:
    """Make the bare `repository` with one commit, tagged `tag`: the template as it is on disk."""
    git.run("init", "--quiet", "--bare", "--template=", "--initial-branch=main", repository)
    _import(checkout, repository, tag=tag)


def clone_checkout(checkout: Path, repository: Path) -> tuple[str, bool]:
    """Clone `checkout` into the bare `repository`; return the name of the release in it.

    That is the name of its commit as `git describe` gives it, by which a project finds its base in
    every later clone. Changes of the template that are not committed belong to the release: in
    `repository` alone, the name is a tag of a commit that holds them. Whether there are any is
    returned too.
    """
    # Objects are shared, not copied; the user's settings say whether git may trust the checkout.
    command = ("-c", f"core.hooksPath={os.devnull}", "clone", "--quiet", "--mirror", "--shared")
    env = {"GIT_ALLOW_PROTOCOL": "file"}
    git.run(*command, "--template=", checkout, repository, env=env, isolated=False)
    name = git.run("describe", "--tags", "--always", cwd=repository)
    is_changed = _is_changed(checkout)
    if is_changed:
        _import(checkout, repository, tag=name, parent=git.run("rev-parse", "HEAD", cwd=repository))
    return name, is_changed


def tag_of(version: str) -> str:
    """Return the tag of a version; in `git describe`'s form if the version names a commit.

    So git finds the commit of v0.1.dev3-0-g1234abc in a clone that has no such tag.
    """
    public, _, local = version.partition("+")
    commit = re.match(r"g[0-9a-f]+", local)
    return f"v{public}-0-{commit[0]}" if commit else f"v{public}"


def holds_template(folder: Path) -> bool:
    """Return whether the folder is mlscaffold's own source, with the template in it."""
    return (folder / "hatch_build.py").is_file() and (folder / "copier.yml").is_file()


def _bundle(repository: Path, bundle: Path, refs: list[str]) -> None:
    # With more threads, the order in the pack varies.
    command = ("-c", "pack.threads=1", "bundle", "create", "--quiet")
    git.run(*command, bundle.resolve(), *refs, cwd=repository, isolated=False)


def _release_refs(checkout: Path) -> list[str]:
    """Return HEAD, its branch and every release tag; nothing if the clone lacks the template."""

    def ask(*arguments: str) -> str:
        # The user's settings say whether git may trust a clone that another user owns.
        return git.run(*arguments, cwd=checkout, isolated=False)

    if not (checkout / ".git").exists() or shutil.which("git") is None:
        return []
    if ask("rev-parse", "--is-shallow-repository") == "true" or _is_changed(checkout):
        return []
    tags = ask("for-each-ref", "--format=%(refname)", "refs/tags/v*").split()
    branch = ask("for-each-ref", "--format=%(refname)", "--points-at=HEAD", "refs/heads")
    return ["HEAD", *branch.split()[:1], *tags]


def _is_changed(checkout: Path) -> bool:
    """Return whether the template in a clone has changes that are not committed."""
    command = ("status", "--porcelain", "--", *TEMPLATE_PATHS)
    return bool(git.run(*command, cwd=checkout, isolated=False))


def _import(checkout: Path, repository: Path, *, tag: str, parent: str = "") -> None:
    stream = b"".join(_import_stream(checkout, tag=tag, parent=parent))
    git.run("fast-import", "--quiet", cwd=repository, stdin=stream)


def _import_stream(checkout: Path, *, tag: str, parent: str) -> Iterator[bytes]:
    ref = "refs/mlscaffold/uncommitted" if parent else "refs/heads/main"
    yield f"commit {ref}\ncommitter {_COMMITTER}\n".encode()
    yield _data(f"The template of {tag}\n".encode())
    if parent:
        yield f"from {parent}\ndeleteall\n".encode()
    for path in _files(checkout):
        mode = "100755" if os.access(path, os.X_OK) else "100644"
        yield f"M {mode} inline {path.relative_to(checkout).as_posix()}\n".encode()
        yield _data(path.read_bytes())
    yield f"reset refs/tags/{tag}\nfrom {ref}\n".encode()


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
