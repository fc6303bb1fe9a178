"""Show how a project differs from a fresh render of its release and answers."""

import os
import shutil
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .project import Project, open_project
from .rendering.answers import Answered
from .rendering.releases import Releases
from .rendering.render_cache import open_render_cache
from .repository import files
from .repository.scratch import Entry, Scratch, open_scratch
from .repository.worktree import Worktree, names, open_worktree
from .updating.project_answers import recorded_answers, recorded_release


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A project's files on disk beside a fresh render, both as trees in a repository."""

    project: Project
    releases: Releases
    release: str
    answers: Answered
    scratch: Scratch
    rendered: str
    present: str
    """Without files that the template does not have, as ignored ones are missing in both."""


def diff(path: Path, *, answers_file: str = "", trust: bool = False) -> str:
    """Return the unified diff from the render to the project's files on disk.

    Ignored files, and files that the template does not have, are not shown.
    """
    with compared(path, answers_file=answers_file, trust=trust) as found:
        return found.scratch.diff(found.rendered, found.present)


@contextmanager
def compared(path: Path, *, answers_file: str, trust: bool) -> Generator[Comparison]:
    """Yield a project beside a render of its release with its answers."""
    project = open_project(path, answers_file)
    worktree = open_worktree(path)
    format = worktree.object_format
    with open_render_cache(may_run_code=trust) as cache:
        releases = cache.releases(project.template)
        release = recorded_release(project, releases)
        answers = recorded_answers(project, cache, release)
        tree = cache.tree(
            *(project.template, release, answers),
            project=project.path,
            answers_file=project.chosen_answers_file,
            object_format=format,
        )
        alternates = worktree.objects, cache.objects(format)
        with open_scratch(object_format=format, alternates=alternates) as scratch:
            rendered = scratch.paths(tree)
            ignored = worktree.ignored(rendered)
            yield Comparison(
                project=project,
                releases=releases,
                release=release,
                answers=answers,
                scratch=scratch,
                rendered=scratch.without(tree, ignored),
                present=scratch.edited("", _present(worktree, rendered - ignored, scratch)),
            )


def _present(worktree: Worktree, paths: Iterable[str], scratch: Scratch) -> Mapping[str, Entry]:
    """Return those of the files that exist in the project, as its git would store them.

    They are written to `scratch`, under a copy of the index: the project's own is not touched.
    """
    own = worktree.own(paths)
    found = {worktree.prefix + path: path for path in own if files.digest(worktree.folder / path)}
    index = scratch.repository / "present"
    shutil.copyfile(worktree.index, index)
    env = {"GIT_INDEX_FILE": str(index), "GIT_OBJECT_DIRECTORY": str(scratch.objects)}
    unflag = ("--no-assume-unchanged", "--no-skip-worktree")
    for options, asked in ((unflag, worktree.hidden()), (("--add", "--replace"), found)):
        stdin = b"".join(os.fsencode(path) + b"\0" for path in found if path in asked)
        worktree.git("update-index", *options, "-z", "--stdin", stdin=stdin, env=env)
    listed = names(worktree.git("ls-files", "--stage", "-z", env=env))
    entries = {}
    for record in listed:
        fields, _, path = record.partition("\t")
        mode, id, stage = fields.split(" ")
        if path in found and stage == "0":
            entries[found[path]] = Entry(mode, id)
    return entries
