"""Re-applies the template to projects, by a three-way merge that loses nothing of the user's."""

import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory

from .errors import AnswerError, GitError, MlscaffoldError, ProjectError, shown
from .project import ANSWERS_FILE, Project, open_project
from .rendering.answers import Ask
from .rendering.releases import Releases, version_of
from .rendering.renders import Renders, open_renders
from .repository.scratch import Scratch, open_scratch
from .repository.worktree import Worktree, open_worktree
from .updating import transaction
from .updating.commits import commit_merge, import_objects
from .updating.merge import Merge, merge
from .updating.recorded import answers_at, recorded_answers
from .updating.transaction import Recovery

_OF_ANSWERS = {
    "you changed what the template removed": "you changed what you have deselected",
    "you renamed what the template removed": "you renamed what you have deselected",
}


class Outcome(StrEnum):
    """How a project came out."""

    CURRENT = "current"
    """There was nothing to do."""
    UPDATED = "updated"
    CONFLICTS = "conflicts"
    """Updated, but for what only its user can settle."""
    PREVIEWED = "previewed"
    ABORTED = "aborted"
    SKIPPED = "skipped"
    """No project that a template made."""
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Updated:
    """What was done to a project, or in a dry run would have been."""

    project: Path
    outcome: Outcome
    old: str = ""
    new: str = ""
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    conflicts: Mapping[str, str] = field(default_factory=dict)
    """By path, why only the user can settle it."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """By path, why the project does not get what the template adds or changes."""
    branch: str = ""
    commit: str = ""
    diff: str = ""
    """In a dry run, what would change."""
    recovered: str = ""
    """What became of an earlier update that was interrupted."""
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is to become of a project."""

    given: Mapping[str, str] = field(default_factory=dict)
    """Answers to change."""
    to: str | None = None
    """A release; the newest when none is named."""
    same_release: bool = False
    """Whether to stay at the release that the project has."""
    dry_run: bool = False
    commits: bool = False
    branch: str = ""
    ask: Ask | None = None


def update(path: Path, wish: Wish, *, renders: Renders | None = None, onto: str = "") -> Updated:
    """Brings one project to a release, or to other answers; raises MlscaffoldError when it can't.

    Afterwards the changes are staged; committed, or committed on a branch without touching the
    working tree, where that was wished for. `onto` is the commit of that branch, when it is there
    already for another project of the same repository.
    """
    if renders is None:
        with open_renders() as renders:
            return update(path, wish, renders=renders)
    _require_project(path)
    worktree = open_worktree(path)
    if onto:
        worktree = replace(worktree, head=onto)
    elif wish.branch:
        _require_branch_name(worktree, wish.branch)
    if wish.dry_run or wish.branch:
        _require_finished(worktree)
        return _updated(path, worktree, wish, renders, is_begun=bool(onto))
    with transaction.locked(worktree), _recovering(worktree) as became:
        _require_finished(worktree)
        # Its HEAD may have moved before the lock was ours.
        worktree = open_worktree(path)
        return _updated(path, worktree, wish, renders, recovered=_TOLD[became])


def resume(path: Path) -> Updated:
    """Ends an update whose conflicts are settled; raises ProjectError while they are not."""
    worktree = open_worktree(path)
    commit = ""
    with transaction.locked(worktree), _recovering(worktree) as became:
        if became is not Recovery.AFTER or transaction.unfinished(worktree):
            commit = transaction.resume(worktree)
    return Updated(project=path, outcome=Outcome.UPDATED, commit=commit, recovered=_TOLD[became])


def abort(path: Path) -> Updated:
    """Restores exactly what was there before an update with conflicts, or one interrupted."""
    worktree = open_worktree(path)
    with transaction.locked(worktree), _recovering(worktree) as became:
        if became is not Recovery.BEFORE:
            transaction.abort(worktree)
    return Updated(project=path, outcome=Outcome.ABORTED, recovered=_TOLD[became])


def _updated(
    path: Path,
    worktree: Worktree,
    wish: Wish,
    renders: Renders,
    *,
    recovered: str = "",
    is_begun: bool = False,
) -> Updated:
    """What became of a project; `is_begun` where the branch for it is of our making."""
    project = open_project(path)
    old, new = _releases_of(project, renders.releases(project.template), wish)
    before = recorded_answers(project, renders, old)
    after = answers_at(project, renders, new, given=wish.given, ask=wish.ask)
    done = Updated(
        project=path, outcome=Outcome.CURRENT, old=project.commit, new=new, recovered=recovered
    )
    if (old, before) == (new, after):
        return done
    _require_ready(worktree, wish, is_begun=is_begun)
    format = worktree.object_format
    trees = [
        renders.tree(project.template, release, answers, object_format=format)
        for release, answers in ((old, before), (new, after))
    ]
    sees = worktree.objects, renders.objects(format)
    with open_scratch(object_format=format, sees=sees) as scratch:
        merged = merge(
            *(scratch, worktree),
            old=trees[0],
            new=trees[1],
            labels=(project.commit, new),
            is_one_release=old == new,
        )
        if not (merged.changes or merged.conflicts):
            return done
        done = _described(done, merged, deselects=old == new)
        if wish.dry_run:
            diff = scratch.diff(worktree.tree(), merged.tree)
            return replace(done, outcome=Outcome.PREVIEWED, diff=diff)
        return _applied(done, worktree, merged, scratch, project, wish)


def _require_project(path: Path) -> None:
    """Raises ProjectError unless a template made it; an interrupted update is recovered first."""
    try:
        open_project(path)
    except ProjectError:
        # It may have been ended in the moment in which it replaced the answers.
        with suppress(ProjectError):
            if transaction.unfinished(open_worktree(path)):
                return
        raise


def _require_ready(worktree: Worktree, wish: Wish, *, is_begun: bool) -> None:
    """Raises ProjectError where the project is not in a state to be given what is wished for."""
    if wish.branch and not is_begun:
        _require_new_branch(worktree, wish.branch)
    if not (wish.dry_run or wish.branch):
        worktree.require_calm()
    worktree.require_committed(ANSWERS_FILE)


def _applied(
    done: Updated,
    worktree: Worktree,
    merged: Merge,
    scratch: Scratch,
    project: Project,
    wish: Wish,
) -> Updated:
    author = {key: str(project.answers.get(f"author_{key}", "")) for key in ("name", "email")}
    title = _title(done, wish)
    outcome = Outcome.CONFLICTS if merged.conflicts else Outcome.UPDATED
    if wish.branch:
        commit = _branched(worktree, merged, scratch, title, author, wish.branch)
        return replace(done, outcome=outcome, branch=wish.branch, commit=commit)
    commit = transaction.apply(
        worktree, merged, scratch, title=title, author=author, commits=wish.commits
    )
    return replace(done, outcome=outcome, commit=commit)


def _branched(
    worktree: Worktree,
    merged: Merge,
    scratch: Scratch,
    title: str,
    author: Mapping[str, str],
    branch: str,
) -> str:
    """Commits the merge on a new branch; conflicts with their markers, and named in the message."""
    ref = f"refs/heads/{branch}"
    before = worktree.git("for-each-ref", "--format=%(objectname)", ref).decode().strip()
    if merged.conflicts:
        listed = (f"- {one.path}: {one.reason}" for one in merged.conflicts)
        title = "\n".join([title, "", "Conflicts, to be settled before this is merged:", *listed])
    with TemporaryDirectory(prefix="mlscaffold-") as folder:
        import_objects(scratch, worktree, merged)
        index = Path(folder, "index")
        commit = commit_merge(worktree, merged, index, title, author)
    before = before or "0" * len(commit)
    worktree.git("update-ref", "-m", "mlscaffold: update", ref, commit, before)
    return commit


def _require_branch_name(worktree: Worktree, branch: str) -> None:
    try:
        # It also resolves names such as @{-1}, which are no branch's own.
        named = worktree.git("check-ref-format", "--branch", branch)
    except (GitError, ValueError):
        named = b""
    if os.fsdecode(named) != f"{branch}\n":
        raise AnswerError(f"--branch must name a branch, got {shown(branch)}")


def _require_new_branch(worktree: Worktree, branch: str) -> None:
    existing = worktree.git("for-each-ref", "--format=%(refname:short)", "refs/heads")
    for other in os.fsdecode(existing).splitlines():
        if f"{other}/".startswith(f"{branch}/") or f"{branch}/".startswith(f"{other}/"):
            raise ProjectError(f"the branch {other} exists in {worktree.top}: name another")


def _releases_of(project: Project, releases: Releases, wish: Wish) -> tuple[str, str]:
    """The release that the project has, and the one that it is to have."""
    latest = releases.latest()
    ours, theirs = version_of(project.commit), version_of(latest)
    is_known = project.commit in releases.tags()
    if ours and theirs and ours > theirs and not is_known:
        raise ProjectError(
            f"{project.path} has release {project.commit}, and {latest} is the newest that "
            "mlscaffold knows: upgrade mlscaffold"
        )
    old = releases.find(project.commit)
    if wish.same_release:
        return old, old
    if wish.to is None and ours and theirs and ours > theirs:
        # A trial release, newer than every final one.
        return old, old
    new = releases.find(wish.to)
    wanted = version_of(new)
    if ours and wanted and wanted < ours:
        raise ProjectError(
            f"{project.path} has release {project.commit}, which is newer than {new}"
        )
    return old, new


def _described(done: Updated, merged: Merge, *, deselects: bool) -> Updated:
    """What the merge does; where only answers change, what goes has been deselected."""
    conflicts = {one.path: one.reason for one in merged.conflicts}
    if deselects:
        conflicts = {path: _OF_ANSWERS.get(why, why) for path, why in conflicts.items()}

    def paths(chosen: Callable[[object, object], bool]) -> tuple[str, ...]:
        return tuple(
            one.path
            for one in merged.changes
            if chosen(one.old, one.new) and one.path not in conflicts
        )

    return replace(
        done,
        added=paths(lambda old, new: not old),
        deleted=paths(lambda old, new: not new),
        changed=paths(lambda old, new: bool(old and new)),
        conflicts=conflicts,
        left_out=merged.left_out,
    )


def _title(done: Updated, wish: Wish) -> str:
    """What a commit says of it."""
    if wish.same_release:
        pairs = ", ".join(f"{key}={value}" for key, value in wish.given.items())
        return f"Set {pairs} in the template's answers"
    return f"Update from the template's release {done.old} to {done.new}"


_TOLD = {
    Recovery.NOTHING: "",
    Recovery.BEFORE: "an update that was interrupted has been undone",
    Recovery.AFTER: "an update that was interrupted has been completed",
}


@contextmanager
def _recovering(worktree: Worktree) -> Generator[Recovery]:
    """What an interrupted update was turned into; an error in the block tells of it, too."""
    became = transaction.recover(worktree)
    try:
        yield became
    except MlscaffoldError as error:
        if became is not Recovery.NOTHING:
            error.args = (f"{_TOLD[became]}; now: {error}",)
        raise


def _require_finished(worktree: Worktree) -> None:
    journal = transaction.unfinished(worktree)
    if journal:
        # One that was interrupted is no matter of conflicts, but --abort ends it as well.
        where = worktree.top / journal.prefix
        raise ProjectError(
            f"an update of {where} is unfinished: settle its conflicts and run "
            "`mlscaffold update --continue`, or `mlscaffold update --abort`"
        )
