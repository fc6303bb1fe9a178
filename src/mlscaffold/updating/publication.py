"""Push the branch of an update and open a pull request, or bring the open one up to date."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePath

from ..errors import MlscaffoldError, UnpushedError
from ..forge import Forge, Proposal, find_forge
from ..repository.remote import Remote, find_remote
from ..repository.worktree import Worktree, open_worktree
from . import branch as branches
from . import wording
from .result import Outcome, UpdateResult


def require_possible(
    worktree: Worktree, branch: str, *, answers_file: str, beside: Iterable[Path]
) -> None:
    """Raise MlscaffoldError unless a branch can replace the remote's and a request be opened.

    That is: HEAD is on a remote, its host's command line is installed and logged in, and neither
    here nor there has the branch a commit of somebody else, or the update of a project that is not
    updated `beside` this one. What the remote has is fetched.
    """
    places = {_within(worktree, one) for one in beside} | {worktree.prefix}
    updated = {(PurePath(place) / answers_file).as_posix() for place in places}
    remote = find_remote(worktree)
    known = ("--not", f"--glob=refs/remotes/{remote.name}/*")
    if worktree.git("rev-list", "--max-count=1", worktree.head, *known).strip():
        raise UnpushedError(worktree.top, remote.name)
    branches.require_replaceable(worktree, branch, remote.excluded(branch), updated=updated)
    find_forge(remote).find(branch)
    _own_tip(worktree, remote, branch, updated=updated)


def published(rows: Sequence[UpdateResult], branch: str) -> list[UpdateResult]:
    """Return the results, with the address of the pull request or with why there is none.

    The rows are those of one repository; those that were committed on the branch share the request.
    """
    done = [row for row in rows if row.branch]
    if not done:
        return list(rows)
    step = "not pushed: "
    try:
        worktree = open_worktree(done[0].project)
        remote = find_remote(worktree)
        commits = _pushed(worktree, remote, branch)
        if len(commits) == len(done):
            done = [replace(row, commit=one) for row, one in zip(done, commits, strict=True)]
        step = f"pushed to {remote.name}, but "
        done = [replace(row, pushed=True) for row in done]
        url = _opened(find_forge(remote), _proposal(done, worktree, remote, branch))
        done = [replace(row, url=url) for row in done]
    except MlscaffoldError as error:
        problem = f"{branch} is {step}{error}"
        done = [replace(row, outcome=Outcome.FAILED, problem=problem) for row in done]
    by_project = {row.project: row for row in done}
    return [by_project.get(row.project, row) for row in rows]


def _own_tip(
    worktree: Worktree, remote: Remote, branch: str, *, updated: Collection[str] | None = None
) -> str:
    """Return the commit that the remote has the branch at, if any; raise as `require_own` does."""
    tip = remote.fetch(branch)
    if tip:
        others = remote.excluded(branch)
        branches.require_own(worktree, branch, tip, others, place=remote.name, updated=updated)
    return tip


def _pushed(worktree: Worktree, remote: Remote, branch: str) -> list[str]:
    """Push the branch, unless the remote has the same, and return the commits there."""
    tip = worktree.git("rev-parse", "--verify", f"refs/heads/{branch}").decode().strip()
    here = branches.range_of(worktree, tip)
    there = _own_tip(worktree, remote, branch)
    pushed = branches.range_of(worktree, there) if there else []
    if pushed and [tree for _, tree in pushed] == [tree for _, tree in here]:
        branches.move(worktree, branch, there, before=tip)
        return [commit for commit, _ in pushed]
    remote.push(tip, branch, replaces=there)
    return [commit for commit, _ in here]


def _opened(forge: Forge, proposal: Proposal) -> str:
    """Return the address of the pull request, which is opened or says what the proposal does."""
    if request := forge.find(proposal.branch):
        forge.edit(request, proposal)
        return request.url
    return forge.open(proposal)


def _proposal(
    done: Sequence[UpdateResult], worktree: Worktree, remote: Remote, branch: str
) -> Proposal:
    has_conflicts = any(row.conflicts for row in done)
    if len(done) == 1:
        title, parts = wording.title_of(done[0]), [_part(done[0])]
    else:
        title = f"Update {len(done)} projects from their templates"
        parts = [
            f"## {wording.code(_within(worktree, row.project))}: {wording.title_of(row)}\n\n"
            f"{_part(row)}"
            for row in done
        ]
    if has_conflicts:
        parts.append(wording.how_to_resolve(remote.name, branch))
    return Proposal(
        branch=branch,
        base=remote.base,
        title=f"{title} (conflicts)" if has_conflicts else title,
        body=wording.shortened("\n\n".join(parts)),
        is_draft=has_conflicts,
    )


def _part(row: UpdateResult) -> str:
    text = wording.text_of(row)
    if "pyproject.toml" in row.changed and (row.project / "uv.lock").is_file():
        return f"{text}\n\n{wording.UNLOCKED}"
    return text


def _within(worktree: Worktree, project: Path) -> str:
    return project.resolve().relative_to(worktree.top.resolve()).as_posix()
