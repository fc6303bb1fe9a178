"""A cache of renders: each is made once, and kept as a tree in a git object database."""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import RLock

from ..repository.scratch import Scratch
from . import folders
from .answers import Answered
from .engine import Operation
from .releases import Releases, open_releases
from .render import render


class RenderCache:
    """What several projects share: the releases of their templates, and the renders of those.

    For several threads; only one of them renders at a time.
    """

    def __init__(self, folder: Path, stack: ExitStack, *, may_run_code: bool = False) -> None:
        self._folder = folder
        self._may_run_code = may_run_code
        self._stack = stack
        self._lock = RLock()
        self._releases: dict[str, Releases] = {}
        self._scratches: dict[str, Scratch] = {}
        self._trees: dict[tuple[object, ...], str] = {}

    def releases(self, template: str) -> Releases:
        """Return the releases of a template."""
        with self._lock:
            if template not in self._releases:
                opened = open_releases(template, is_recorded=True, may_run_code=self._may_run_code)
                self._releases[template] = self._stack.enter_context(opened)
            return self._releases[template]

    def objects(self, object_format: str) -> Path:
        """Return where git finds the objects of the trees."""
        return self._scratch(object_format).objects

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
            releases = self.releases(template)
            folder = project.resolve() if releases.looks_at_project(release) else None
            rendered = object_format, template, release, answers.key
            key = (*rendered, answers_file, operation, folder)
            if key not in self._trees:
                with folders.temporary(within=self._folder) as temporary:
                    into = temporary / (folder.name if folder else "project")
                    into.mkdir()
                    render(
                        releases,
                        ref=release,
                        data=answers.data,
                        into=into,
                        answers_file=answers_file,
                        operation=operation,
                        project=str(folder or ""),
                    )
                    self._trees[key] = self._scratch(object_format).write_folder(into)
            return self._trees[key]

    def _scratch(self, object_format: str) -> Scratch:
        with self._lock:
            if object_format not in self._scratches:
                repository = self._folder / f"{object_format}.git"
                self._scratches[object_format] = Scratch(repository, object_format=object_format)
            return self._scratches[object_format]


@contextmanager
def open_render_cache(*, may_run_code: bool = False) -> Generator[RenderCache]:
    """Yield a cache that is removed when the block ends."""
    with (
        TemporaryDirectory(prefix="mlscaffold-", ignore_cleanup_errors=True) as folder,
        ExitStack() as stack,
    ):
        yield RenderCache(Path(folder), stack, may_run_code=may_run_code)
