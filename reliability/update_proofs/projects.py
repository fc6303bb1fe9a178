"""Projects to test updates on, and snapshots of what must not change."""

import os
import shutil
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from evolving import evolving_template

from mlscaffold.new import new
from mlscaffold.rendering.render_cache import RenderCache, open_render_cache
from mlscaffold.update import UpdateRequest, UpdateResult, update

# All the configuration that there is.
GITCONFIG = "[user]\n\tname = Ada Lovelace\n\temail = ada@example.com\n"
DATE = "1800000000 +0000"


@dataclass(frozen=True)
class Lab:
    """What the trials of a proof share: a folder, a template, and its renders."""

    folder: Path
    template: Path
    renders: RenderCache
    _made: dict[tuple[str, str], Path] = field(default_factory=dict)

    def project(self, name: str, *, release: str, store: str = "files") -> Path:
        """Return a new project, committed, in the lab's folder `name`."""
        key = release, store
        if key not in self._made:
            path = self.folder / "made" / f"{release}-{store}" / "toy"
            path.parent.mkdir(parents=True)
            given = {"store": store}
            new(str(path), given=given, template=str(self.template), ref=release, with_lock=False)
            self._made[key] = path
        return copied(self._made[key], self.folder / name)

    def update(self, project: Path, **request: object) -> UpdateResult:
        """Update the project; return the result."""
        return update(project, UpdateRequest(**request), cache=self.renders)  # ty: ignore


@contextmanager
def open_lab() -> Generator[Lab]:
    """Yield a lab that is removed when the block ends."""
    before = dict(os.environ)
    try:
        with TemporaryDirectory(prefix="proof-") as folder, open_render_cache() as renders:
            config = Path(folder, "gitconfig")
            config.write_text(GITCONFIG)
            os.environ |= {"GIT_CONFIG_GLOBAL": str(config), "GIT_CONFIG_NOSYSTEM": "1"}
            # The same work makes the same commit.
            os.environ |= {f"GIT_{role}_DATE": DATE for role in ("AUTHOR", "COMMITTER")}
            template = evolving_template(Path(folder, "template"))
            yield Lab(Path(folder), template, renders)
    finally:
        os.environ.clear()
        os.environ.update(before)


def copied(project: Path, target: Path) -> Path:
    """Copy a project to `target`, and replace what is there; return the path."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(project, target, symlinks=True)
    return target


def git(project: Path, *arguments: str, env: Mapping[str, str] | None = None) -> bytes:
    """Run git and return what it printed; a failure ends the proof."""
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", **(env or {})}
    command = ["git", "-c", "core.hooksPath=/dev/null", *arguments]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True)
    if done.returncode:
        raise AssertionError(f"{command}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def commit(project: Path, message: str = "Work") -> None:
    """Commit all changes to tracked files and all new ones that are not ignored."""
    git(project, "commit", "--quiet", "--no-verify", "--allow-empty", f"--message={message}")


def files_of(project: Path) -> dict[str, tuple[str, bytes]]:
    """Return every file below a folder, but for git's own: its kind with its mode, and its bytes.

    Empty folders are included.
    """
    found: dict[str, tuple[str, bytes]] = {}
    for folder, folders, names in os.walk(project):
        folders[:] = [name for name in folders if name != ".git"]
        links = [name for name in folders if Path(folder, name).is_symlink()]
        folders[:] = [name for name in folders if name not in links]
        for name in (*names, *links):
            path = Path(folder, name)
            found[str(path.relative_to(project))] = _kind(path), _bytes(path)
        if not (folders or names or links):
            found[str(Path(folder).relative_to(project)) + "/"] = "folder", b""
    return found


def index_of(project: Path) -> list[bytes]:
    """Each line of git's index, with its flags."""
    return git(project, "ls-files", "--stage", "-v", "-z").split(b"\0")


def unmerged(project: Path) -> dict[str, list[str]]:
    """By path in conflict, the ids of its versions."""
    found: dict[str, list[str]] = {}
    for record in git(project, "ls-files", "--unmerged", "-z").split(b"\0"):
        if record:
            fields, _, path = record.partition(b"\t")
            found.setdefault(os.fsdecode(path), []).append(fields.split()[1].decode())
    return found


def leftovers(project: Path) -> list[str]:
    """Return what an update keeps in the git directory, and any locks."""
    own = project / ".git"
    return sorted(
        str(path.relative_to(own))
        for path in [*own.glob("mlscaffold*"), *own.glob("*.lock"), *own.glob("refs/**/*.lock")]
    )


def snapshot(project: Path) -> dict[str, object]:
    """Return all of a project that must not change when an update is refused."""
    return {
        "files": files_of(project),
        "index": index_of(project),
        "HEAD": (project / ".git" / "HEAD").read_bytes(),
        "refs": git(project, "for-each-ref"),
        "left": leftovers(project),
    }


def difference(one: Mapping[str, object], other: Mapping[str, object]) -> str:
    """Describe the differences between two snapshots."""
    told = []
    for key in one:
        if one[key] != other[key]:
            if isinstance(one[key], dict):
                first, second = dict(one[key]), dict(other[key])  # ty: ignore
                paths = [p for p in first.keys() | second.keys() if first.get(p) != second.get(p)]
                told.append(f"{key}: {sorted(paths)}")
            else:
                told.append(f"{key}: {one[key]!r} is not {other[key]!r}"[:400])
    return "; ".join(told)


def _kind(path: Path) -> str:
    status = path.lstat()
    return "link" if path.is_symlink() else f"file {status.st_mode:o}"


def _bytes(path: Path) -> bytes:
    return os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
