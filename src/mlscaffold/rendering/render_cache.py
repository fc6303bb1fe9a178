"""A cache of renders: each is a tree in a git object database, and is made once.

Those that are the same whenever they are made are kept on the user's disk for later commands.
"""

import json
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import RLock
from typing import Any

from ..repository import packs
from ..repository.scratch import Scratch
from . import folders, repeatable
from .answers import Answered, answer
from .disk_cache import DiskCache, open_disk_cache
from .engine import Operation
from .releases import Releases, open_releases
from .render import render


@dataclass(frozen=True)
class _Render:
    """All that a render depends on."""

    template: str
    release: str
    answers: str
    answers_file: str
    operation: Operation
    folder: Path | None
    """The project, if the template asks for more of it than the answers."""
    object_format: str


@dataclass(frozen=True)
class _Dependence:
    """What the renders of a release depend on beside the answers."""

    on_project: bool
    on_operation: bool


class RenderCache:
    """What several projects share: the releases of their templates, and renders of these.

    For several threads; only one of them renders at a time.
    """

    def __init__(
        self,
        folder: Path,
        stack: ExitStack,
        *,
        may_run_code: bool = False,
        disk: DiskCache | None = None,
    ) -> None:
        self._folder = folder
        self._may_run_code = may_run_code
        self._disk = disk
        self._stack = stack
        self._lock = RLock()
        self._releases: dict[str, Releases] = {}
        self._scratches: dict[str, Scratch] = {}
        self._trees: dict[_Render, str] = {}
        self._answers: dict[tuple[str, str, str], Answered] = {}
        self._dependences: dict[tuple[str, str], _Dependence] = {}

    def releases(self, template: str) -> Releases:
        """Return the releases of a template."""
        with self._lock:
            if template not in self._releases:
                opened = open_releases(template, is_recorded=True, may_run_code=self._may_run_code)
                self._releases[template] = self._stack.enter_context(opened)
            return self._releases[template]

    def objects(self, object_format: str) -> Path:
        """Return where git finds the objects of the trees."""
        objects = self._repository(object_format) / "objects"
        objects.mkdir(parents=True, exist_ok=True)
        return objects

    def tree(
        self,
        template: str,
        release: str,
        answers: Answered,
        *,
        project: Path,
        answers_file: str = "",
        operation: Operation = "copy",
        object_format: str,
    ) -> str:
        """Return the id of the tree that a release renders to with these answers.

        If the template asks for the project's name or for its other files, the tree is this one's.
        """
        with self._lock:
            depends = self._dependence(template, release)
            wanted = _Render(
                template,
                release,
                answers.key,
                answers_file,
                operation if depends.on_operation else "copy",
                project.resolve() if depends.on_project else None,
                object_format,
            )
            if wanted not in self._trees:
                name = self._name(template, release, *vars(wanted).values())
                tree = self._loaded(wanted, name) or self._made(wanted, answers, name)
                self._trees[wanted] = tree
            return self._trees[wanted]

    def answers(
        self, template: str, release: str, recorded: Mapping[str, Any], *, project: Path
    ) -> Answered:
        """Return what a project's recorded answers are for a release; raise as `answer` does."""
        with self._lock:
            releases = self.releases(template)
            found = partial(answer, releases, release, recorded=recorded, project=project)
            if not releases.trusted:
                return found()
            asked = template, release, json.dumps(recorded, default=str)
            if asked not in self._answers:
                name = self._name(*asked, "answers")
                kept = self._disk.load(name) if self._disk and name else None
                self._answers[asked] = Answered.read(kept) if kept else found()
                if not kept:
                    self._keep(template, release, name, self._answers[asked].written)
            return self._answers[asked]

    def _dependence(self, template: str, release: str) -> _Dependence:
        if (template, release) not in self._dependences:
            of = self.releases(template), release
            self._dependences[template, release] = _Dependence(
                on_project=repeatable.looks_at_project(*of),
                on_operation=repeatable.looks_at_operation(*of),
            )
        return self._dependences[template, release]

    def _name(self, template: str, release: str, *details: object) -> str:
        """Return a name on the disk, empty if nothing can be kept of this release.

        What has this name is the same whenever it is made.
        """
        releases = self.releases(template)
        is_known = self._disk and repeatable.may_be_repeatable(releases, release)
        if not (is_known and repeatable.renderer()):
            return ""
        commit = releases.commit(release)
        # What a render records as its release also depends on the other tags of the commit.
        of = repeatable.renderer(), releases.url, commit, releases.describe(commit)
        return json.dumps([*of, template, release, *details], default=str)

    def _keep(self, template: str, release: str, name: str, content: Callable[[], bytes]) -> None:
        """Write an entry to the disk, if it can be used by later commands."""
        of = self.releases(template), release
        if self._disk and name and repeatable.is_repeatable(*of):
            self._disk.save(name, content())

    def _loaded(self, wanted: _Render, name: str) -> str:
        """Return the tree of a render that is on the disk, or an empty string."""
        content = self._disk.load(name) if self._disk and name else None
        if content is None:
            return ""
        return packs.unpack(content, self.objects(wanted.object_format))

    def _made(self, wanted: _Render, answers: Answered, name: str) -> str:
        """Render, and keep that on the disk if it has a name there."""
        scratch = self._scratch(wanted.object_format)
        with folders.temporary(within=self._folder) as temporary:
            into = temporary / (wanted.folder.name if wanted.folder else "project")
            into.mkdir()
            render(
                self.releases(wanted.template),
                ref=wanted.release,
                data=answers.data,
                into=into,
                answers_file=wanted.answers_file,
                operation=wanted.operation,
                project=str(wanted.folder or ""),
            )
            tree = scratch.write_folder(into)
        self._keep(wanted.template, wanted.release, name, partial(packs.pack, scratch, tree))
        return tree

    def _scratch(self, object_format: str) -> Scratch:
        if object_format not in self._scratches:
            repository = self._repository(object_format)
            self._scratches[object_format] = Scratch(repository, object_format=object_format)
        return self._scratches[object_format]

    def _repository(self, object_format: str) -> Path:
        return self._folder / f"{object_format}.git"


@contextmanager
def open_render_cache(*, may_run_code: bool = False) -> Generator[RenderCache]:
    """Yield a cache; what it does not keep on the disk is removed when the block ends."""
    disk = open_disk_cache()
    with (
        TemporaryDirectory(prefix="mlscaffold-", ignore_cleanup_errors=True) as folder,
        ExitStack() as stack,
    ):
        yield RenderCache(Path(folder), stack, may_run_code=may_run_code, disk=disk)
