"""Update projects with a three-way merge that loses no edit of the user."""

from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from .errors import (
    CommandError,
    DowngradeError,
    MlscaffoldError,
    ProjectError,
    UnfinishedUpdateError,
)
from .project import Project, open_project
from .rendering.answers import Answered, Ask
from .rendering.engine import run_commands
from .rendering.releases import Releases
from .rendering.render_cache import RenderCache, open_render_cache
from .repository.scratch import Scratch, open_scratch
from .repository.worktree import Worktree, open_worktree
from .updating import addition, branch, publication, transaction, wording
from .updating.incomplete import without_missing
from .updating.keep import FILE as KEEP_FILE
from .updating.keep import read_patterns, without_kept
from .updating.merge import Merge, merge
from .updating.project_answers import answers_at, recorded_answers, recorded_release
from .updating.result import Outcome, UpdateResult, described
from .updating.skip_if_exists import without_existing
from .updating.transaction import Recovery


@dataclass(frozen=True, kw_only=True)
class UpdateRequest:
    """What to update a project to, and how."""

    given: Mapping[str, str] = field(default_factory=dict)
    """Answers to change."""
    to: str | None = None
    """A release; by default the newest."""
    prereleases: bool = False
    """Whether the newest may be no final one."""
    trust: bool = False
    """Whether the template may run its tasks, migrations and Jinja extensions."""
    same_release: bool = False
    """Whether to stay at the release that the project has."""
    dry_run: bool = False
    strict: bool = False
    """Whether each conflict of git is left to the user, also one that a rule could settle."""
    commits: bool = False
    branch: str = ""
    opens_pr: bool = False
    """Whether the branch is to be pushed, by `publication.published`, and may exist: if all its
    commits are of earlier updates, it is replaced."""
    beside: tuple[Path, ...] = ()
    """The projects of the same repository that are updated in the same command."""
    ask: Ask | None = None
    answers_file: str = ""
    """Which of a project's templates to update: where its answers are, if not where they usually
    are."""


def update(
    path: Path, request: UpdateRequest, *, cache: RenderCache | None = None, onto: str = ""
) -> UpdateResult:
    """Update one project to a release, or to other answers; raise MlscaffoldError if it can't be.

    Afterwards the changes are staged; or, if requested, committed; or committed on another branch
    without touching the working tree. `onto` is the commit of that branch if it was created for
    another project of the same repository.
    """
    if cache is None:
        with open_render_cache(may_run_code=request.trust) as cache:
            return update(path, request, cache=cache)
    _require_project(path, request.answers_file)
    worktree = open_worktree(path)
    if onto:
        worktree = replace(worktree, head=onto)
    elif request.branch:
        branch.require_name(worktree, request.branch)
    if request.dry_run or request.branch:
        _require_finished(worktree)
        return _updated(path, worktree, request, cache, is_begun=bool(onto))
    with (
        transaction.locked(worktree),
        _recovering(worktree) as recovery,
        _without_addition(path) as undone,
    ):
        _require_finished(worktree)
        # Its HEAD may have moved before the lock was taken.
        worktree = open_worktree(path)
        recovered = "; ".join(filter(None, (_RECOVERED[recovery], undone)))
        return _updated(path, worktree, request, cache, recovered=recovered)


def resume(path: Path) -> UpdateResult:
    """Finish an update whose conflicts are resolved; raise ProjectError while they are not."""
    worktree = open_worktree(path)
    commit = ""
    with transaction.locked(worktree), _recovering(worktree) as recovery:
        if recovery is not Recovery.COMPLETED or transaction.unfinished(worktree):
            commit = transaction.resume(worktree)
    return UpdateResult(
        project=path, outcome=Outcome.UPDATED, commit=commit, recovered=_RECOVERED[recovery]
    )


def abort(path: Path) -> UpdateResult:
    """Restore exactly what was there before an update with conflicts, or an interrupted one."""
    worktree = open_worktree(path)
    with transaction.locked(worktree), _recovering(worktree) as recovery:
        if recovery is not Recovery.UNDONE:
            transaction.abort(worktree)
    return UpdateResult(project=path, outcome=Outcome.ABORTED, recovered=_RECOVERED[recovery])


def _updated(
    path: Path,
    worktree: Worktree,
    request: UpdateRequest,
    cache: RenderCache,
    *,
    recovered: str = "",
    is_begun: bool = False,
) -> UpdateResult:
    """Update a project; with `is_begun`, the branch for it was created by us."""
    project = open_project(path, request.answers_file)
    releases = cache.releases(project.template)
    old, new = _releases_of(project, releases, request)
    if old != new:
        releases.require_no_migrations(old, new)
    before = recorded_answers(project, cache, old)
    after = before
    if old != new or request.given:
        after = answers_at(project, cache, new, given=request.given, ask=request.ask)
    done = UpdateResult(
        project=path, outcome=Outcome.CURRENT, old=project.commit, new=new, recovered=recovered
    )
    is_current = (old, before.key) == (new, after.key)
    if is_current and not (project.is_incomplete or releases.skips(new)):
        return done
    worktree.read_committed(project.answers_file, KEEP_FILE)
    require_ready = partial(_require_ready, worktree, request, project, is_begun=is_begun)
    if not is_current:
        require_ready()
    patterns = read_patterns(worktree)
    format = worktree.object_format
    trees = list(_trees(project, cache, ((old, before), (new, after)), object_format=format))
    alternates = worktree.objects, cache.objects(format)
    with open_scratch(object_format=format, alternates=alternates) as scratch:
        if project.is_incomplete:
            file = project.answers_file
            trees[0] = without_missing(scratch, worktree, trees[0], answers_file=file)
        skipped = partial(releases.skipped, new, after.data, project=path)
        *trees, left_out = without_existing(scratch, worktree, *trees, skipped=skipped)
        if is_current:
            if trees[0] == trees[1]:
                return done
            require_ready()
        *trees, kept, unused = without_kept(
            *(scratch, worktree, *trees), patterns=patterns, answers_file=project.answers_file
        )
        merged = merge(
            *(scratch, worktree),
            old=trees[0],
            new=trees[1],
            labels=(project.commit, new),
            is_one_release=old == new,
            is_strict=request.strict,
        )
        if merged.changes or merged.conflicts:
            merged = replace(merged, left_out={**left_out, **merged.left_out})
            done = described(done, merged, deselects=old == new)
            done = replace(done, kept=kept, unused=unused)
            if request.dry_run:
                diff = scratch.diff(worktree.tree(), merged.tree)
                return replace(done, outcome=Outcome.PREVIEWED, diff=diff)
            done = _applied(done, worktree, merged, scratch, project, request)
    if releases.may_run_code and not request.dry_run:
        _run_commands(project, releases, new, after, since=old)
    return done


def _run_commands(
    project: Project, releases: Releases, release: str, answers: Answered, *, since: str
) -> None:
    """Run the commands of the template in the project; raise CommandError if that fails."""
    try:
        run_commands(releases, ref=release, data=answers.data, project=project.path, since=since)
    except CommandError as error:
        raise CommandError(f"{project.path} is updated, but then {error}") from error


def _trees(
    project: Project,
    cache: RenderCache,
    renders: Iterable[tuple[str, Answered]],
    *,
    object_format: str,
) -> tuple[str, ...]:
    """Return the trees of releases with their answers."""
    return tuple(
        cache.tree(
            *(project.template, release, answers),
            project=project.path,
            answers_file=project.chosen_answers_file,
            operation="update",
            object_format=object_format,
        )
        for release, answers in renders
    )


def _require_project(path: Path, answers_file: str) -> None:
    """Recover an interrupted update, then raise ProjectError unless this is a project."""
    try:
        open_project(path, answers_file)
    except ProjectError:
        # It may have been killed while it replaced the answers.
        with suppress(ProjectError):
            if transaction.unfinished(open_worktree(path)):
                return
        raise


def _require_ready(
    worktree: Worktree, request: UpdateRequest, project: Project, *, is_begun: bool
) -> None:
    """Raise ProjectError if the project's state does not allow the request."""
    if request.opens_pr and not (is_begun or request.dry_run):
        publication.require_possible(
            *(worktree, request.branch),
            answers_file=project.answers_file,
            beside=request.beside,
        )
    elif request.branch and not is_begun:
        branch.require_new(worktree, request.branch, replaces=request.opens_pr)
    if not (request.dry_run or request.branch):
        worktree.require_clean()
    worktree.require_committed(project.answers_file)


def _applied(
    done: UpdateResult,
    worktree: Worktree,
    merged: Merge,
    scratch: Scratch,
    project: Project,
    request: UpdateRequest,
) -> UpdateResult:
    author = {key: str(project.answers.get(f"author_{key}", "")) for key in ("name", "email")}
    title = _title(done, request)
    outcome = Outcome.CONFLICTS if merged.conflicts else Outcome.UPDATED
    if request.branch:
        message = f"{title}\n\n{wording.text_of(done)}"
        commit = branch.commit_on(
            *(worktree, merged, scratch, message, author, request.branch),
            answers_file=project.answers_file,
        )
        return replace(done, outcome=outcome, branch=request.branch, commit=commit)
    commit = transaction.apply(
        worktree, merged, scratch, title=title, author=author, commits=request.commits
    )
    return replace(done, outcome=outcome, commit=commit)


def _releases_of(project: Project, releases: Releases, request: UpdateRequest) -> tuple[str, str]:
    """Return the release that the project has, and the one that it is to have."""
    old = recorded_release(project, releases)
    if request.same_release:
        return old, old
    new = releases.find(request.to, prereleases=request.prereleases)
    if not releases.is_before(new, old):
        return old, new
    if request.to is None:
        # A trial release, or a commit after a release, is newer than every final one.
        return old, old
    raise DowngradeError(project.path, project.commit, new)


def _title(done: UpdateResult, request: UpdateRequest) -> str:
    """Return the commit's title."""
    if request.same_release:
        pairs = ", ".join(f"{key}={value}" for key, value in request.given.items())
        return f"Set {pairs} in the template's answers"
    return wording.title_of(done)


_RECOVERED = {
    Recovery.NOTHING: "",
    Recovery.UNDONE: "an update that was interrupted has been undone",
    Recovery.COMPLETED: "an update that was interrupted has been completed",
}


@contextmanager
def _recovering(worktree: Worktree) -> Generator[Recovery]:
    """Recover from an interrupted update first; an error in the block mentions it."""
    recovery = transaction.recover(worktree)
    with _saying(_RECOVERED[recovery]):
        yield recovery


@contextmanager
def _without_addition(project: Path) -> Generator[str]:
    """Undo an addition that was interrupted, and yield that; an error in the block mentions it."""
    undone = ""
    if addition.is_interrupted(project):
        with addition.locked(project):
            undone = "an addition that was interrupted has been undone"
    with _saying(undone):
        yield undone


@contextmanager
def _saying(done: str) -> Generator[None]:
    """Let an error in the block begin with what was done before."""
    try:
        yield
    except MlscaffoldError as error:
        if done:
            error.args = (f"{done}; now: {error}",)
        raise


def _require_finished(worktree: Worktree) -> None:
    journal = transaction.unfinished(worktree)
    if journal:
        # An interrupted update may have no conflicts, but --abort undoes it as well.
        raise UnfinishedUpdateError(worktree.top / journal.prefix)
