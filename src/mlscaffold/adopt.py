"""Record the release and the answers that come closest to a project which records none."""

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from .clues import read_clues
from .errors import (
    AnswersFileError,
    OtherTemplateError,
    ProjectError,
    TemplateError,
    UnfinishedUpdateError,
    UnknownReleaseError,
)
from .project import (
    ANSWERS_FILE,
    INCOMPLETE,
    is_project,
    open_project,
    partly_recorded,
    require_relative,
)
from .rendering.answers import text_of
from .rendering.releases import is_same_template, recorded_source
from .rendering.render_cache import RenderCache, open_render_cache
from .repository import files
from .repository.git import without_secrets
from .repository.scratch import open_scratch
from .repository.worktree import Worktree, open_worktree
from .updating import transaction
from .updating.closest import Candidate, Search, closest
from .updating.project_answers import recorded_release

_INCOMPLETE = f"""\
# The next update adds the files of the template that are missing here. Without this line they count
# as deleted by you.
{INCOMPLETE}: true
"""


class Adoption(StrEnum):
    """What `adopt` did."""

    ADOPTED = "adopted"
    PREVIEWED = "previewed"
    CURRENT = "current"
    """Nothing, since the project can be updated already."""


@dataclass(frozen=True, kw_only=True)
class Adopted:
    """The release and the answers that come closest to a project, and what differs."""

    project: Path
    outcome: Adoption
    template: str
    """Its address, without a password."""
    release: str
    answers: Mapping[str, Any]
    answers_file: str
    files: int = 0
    """How many files the release has with these answers."""
    changed: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By path, how many lines the project has more, and how many it lacks."""
    missing: tuple[str, ...] = ()
    is_incomplete: bool = False
    """Whether the next update adds what is missing; otherwise it counts as deleted."""


def adopt(
    path: Path,
    *,
    given: Mapping[str, str],
    template: str | None = None,
    ref: str | None = None,
    answers_file: str = "",
    trust: bool = False,
    dry_run: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Adopted:
    """Find the release and the answers that come closest to a project, and record them.

    Only the answers file is written. Raises ProjectError if the project is in no git repository,
    or records another template.

    Args:
        path: The project's folder.
        given: Answers by question, as text; the others are found.
        template: A git URL or folder; by default the bundled template.
        ref: The release, if it is known.
        answers_file: Where the answers are recorded; by default where copier does.
        trust: Whether the template may use Jinja extensions and have tasks, which do not run.
        dry_run: Whether to write nothing.
        progress: Is called with each step.
    """
    worktree = open_worktree(path)
    answers_file = answers_file and require_relative(answers_file)
    if transaction.unfinished(worktree):
        raise UnfinishedUpdateError(worktree.folder)
    source = recorded_source(template)
    with open_render_cache(may_run_code=trust) as cache:
        recorded, answers = partly_recorded(path, answers_file)
        if recorded and not is_same_template(recorded, source):
            raise OtherTemplateError(path / (answers_file or ANSWERS_FILE), recorded)
        if recorded:
            source = recorded
            try:
                current = _current(path, answers_file, cache)
            except UnknownReleaseError:
                raise
            except ProjectError:
                pass
            else:
                _require_as_recorded(current, given, ref and cache.releases(source).find(ref))
                return current
        answers_file = answers_file or ANSWERS_FILE
        _require_place(worktree, answers_file)
        if not dry_run and is_project(path, answers_file):
            # It will be replaced.
            worktree.require_committed(answers_file)
        alternates = worktree.objects, cache.objects(worktree.object_format)
        with open_scratch(object_format=worktree.object_format, alternates=alternates) as scratch:
            search = Search(
                project=path,
                worktree=worktree,
                scratch=scratch,
                cache=cache,
                template=source,
                answers_file=answers_file,
                clues=read_clues(scratch, worktree),
                given=given,
                recorded=answers,
                progress=progress,
            )
            releases = search.releases
            found = closest(search, [releases.find(ref)] if ref else releases.candidates())
            content = _answers_of(search, found)
    if not dry_run:
        _write(worktree, answers_file, content)
    return Adopted(
        project=path,
        outcome=Adoption.PREVIEWED if dry_run else Adoption.ADOPTED,
        template=without_secrets(source),
        release=found.release,
        answers=found.answered.answers,
        answers_file=answers_file,
        files=found.likeness.files,
        changed=found.likeness.changed,
        missing=found.likeness.missing,
        is_incomplete=not found.likeness.is_kin,
    )


def _current(path: Path, answers_file: str, cache: RenderCache) -> Adopted:
    """Return that there is nothing to do; raise ProjectError if the project can't be updated."""
    project = open_project(path, answers_file)
    return Adopted(
        project=path,
        outcome=Adoption.CURRENT,
        template=without_secrets(project.template),
        release=recorded_release(project, cache.releases(project.template)),
        answers=project.answers,
        answers_file=project.answers_file,
    )


def _require_as_recorded(current: Adopted, given: Mapping[str, str], ref: str | None) -> None:
    """Raise ProjectError if other answers or another release are given than a project records."""
    recorded = {name: text_of(value) for name, value in current.answers.items()}
    others = [f"{name}={value}" for name, value in given.items() if recorded.get(name) != value]
    project = shlex.quote(str(current.project))
    if others:
        pairs = " ".join(map(shlex.quote, others))
        fix = f"`mlscaffold set {pairs} --project {project}` changes its answers"
    elif ref and ref != current.release:
        fix = f"`mlscaffold update --to {ref} {project}` changes its release"
    else:
        return
    records = f"{current.answers_file} records {current.release} of its template already"
    raise ProjectError(f"{current.project}: {records}; {fix}")


def _require_place(worktree: Worktree, answers_file: str) -> None:
    """Raise AnswersFileError if git would not keep the answers file."""
    file = worktree.folder / answers_file
    if not worktree.own([answers_file]):
        raise AnswersFileError(file, "is behind a link or in a submodule: name another with -a")
    if worktree.ignored([answers_file]):
        raise AnswersFileError(file, "is ignored by git, which has to keep it: change .gitignore")


def _answers_of(search: Search, found: Candidate) -> bytes:
    """Return the content of the answers file; raise TemplateError if the template has none."""
    entry = search.scratch.entries(found.tree).get(search.answers_file)
    if entry is None:
        raise TemplateError(
            f"{without_secrets(search.template)} {found.release} does not record its answers in "
            f"{search.answers_file}: if it does elsewhere, name that file with -a PATH"
        )
    content = search.scratch.blobs([entry.id])[entry.id]
    if found.likeness.is_kin:
        return content
    # The last line of a file may have no end.
    text = content.decode().removesuffix("\n") + "\n" + _INCOMPLETE
    try:
        yaml.safe_load(text)
    except yaml.YAMLError:
        # The file is one mapping in braces, as in JSON, which YAML includes.
        recorded = {**yaml.safe_load(content), INCOMPLETE: True}
        text = json.dumps(recorded, indent=2, ensure_ascii=False, default=str) + "\n"
    return text.encode()


def _write(worktree: Worktree, answers_file: str, content: bytes) -> None:
    """Write the answers file in one step, and through no link that the project may hold."""
    file = worktree.folder / answers_file
    file.parent.mkdir(parents=True, exist_ok=True)
    staged = files.staged(file)
    staged.unlink(missing_ok=True)
    try:
        with staged.open("xb") as new:
            new.write(content)
        staged.replace(file)
    finally:
        staged.unlink(missing_ok=True)
