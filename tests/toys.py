"""Projects of the small template, and snapshots to compare a project before and after."""

import os
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from evolving import evolving_template
from templates import commit, git
from typer.testing import CliRunner, Result

from mlscaffold.cli import app
from mlscaffold.new import new
from mlscaffold.rendering.render_cache import RenderCache, open_render_cache
from mlscaffold.update import UpdateRequest, UpdateResult, update

Snapshot = dict[str, tuple[int, bytes]]


class Toys:
    """Projects of the small template, or of another, and their updates."""

    def __init__(self, folder: Path, renders: RenderCache) -> None:
        self._folder = folder
        self._renders = renders
        self._made: dict[tuple[object, ...], Path] = {}
        self.template = evolving_template(folder / "template")

    def make(
        self, at: Path, *, release: str = "v1.0.0", template: Path | None = None, **answers: str
    ) -> Path:
        """Return a project, committed, in the folder `at`."""
        template = template or self.template
        key = template, release, *sorted(answers.items())
        if key not in self._made:
            made = self._folder / str(len(self._made)) / "toy"
            new(str(made), given=answers, template=str(template), ref=release, with_lock=False)
            self._made[key] = made
        return shutil.copytree(self._made[key], at, symlinks=True)

    def update(self, project: Path, **options: object) -> UpdateResult:
        """Update the project; return the result."""
        return update(project, UpdateRequest(**options), cache=self._renders)  # ty: ignore[invalid-argument-type]


@contextmanager
def open_toys(folder: Path) -> Generator[Toys]:
    """Toys that share their renders until the block ends."""
    with open_render_cache() as renders:
        yield Toys(folder, renders)


def cli(*arguments: str | Path) -> Result:
    """Run a command in this process, without a terminal; return its result."""
    return CliRunner().invoke(app, list(map(str, arguments)), prog_name="mlscaffold")


def edit(file: Path, *replacements: tuple[str, str]) -> None:
    """Replace texts, each of which must occur exactly once."""
    text = file.read_bytes().decode()
    for before, after in replacements:
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    file.write_bytes(text.encode())


def committed(project: Path) -> str:
    """Commit everything in the project; return the new HEAD."""
    commit(project)
    return git(project, "rev-parse", "HEAD")


def staged_tree(project: Path) -> str:
    """Return the tree that a commit of the index would have."""
    return git(project, "write-tree")


def status(project: Path) -> list[str]:
    """Return `git status --short` of the project's folder, with a rename as two changes."""
    asked = ["git", "-c", "core.quotePath=false", "status", "--short", "--no-renames", "."]
    done = subprocess.run(asked, cwd=project, check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def snapshot(folder: Path, *, without: tuple[str, ...] = ()) -> Snapshot:
    """Mode and bytes of every file and link, and the mode of every folder, git's own as well."""
    found: Snapshot = {}
    for parent, folders, files in os.walk(folder):
        folders[:] = [one for one in folders if one not in without]
        for path in (Path(parent, name) for name in folders + files if name not in without):
            content = b"folder"
            if path.is_symlink():
                content = os.fsencode(path.readlink())
            elif path.is_file():
                content = path.read_bytes()
            found[str(path.relative_to(folder))] = (path.lstat().st_mode, content)
    return found


def files_of(folder: Path) -> Snapshot:
    """Return the snapshot of the working tree, without git's own files."""
    return snapshot(folder, without=(".git",))
