"""The remote repository that a working tree is pushed to."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import GitError, NoRemoteError, PushError
from .worktree import Worktree

# No tags and no submodules, whatever the user's settings say; and messages that can be read here.
_PUSH = ("push", "--quiet", "--no-follow-tags", "--no-signed", "--recurse-submodules=no")
_FETCH = ("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head")
_QUIET = ("-c", "gc.auto=0", "-c", "maintenance.auto=false")
_ENGLISH = {"LC_ALL": "C"}


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A remote repository, by the name that the user gave it."""

    worktree: Worktree
    name: str
    url: str
    base: str
    """The branch of the remote that the one checked out follows; empty if there is none."""
    is_only_one: bool

    @property
    def host(self) -> str:
        """The host of the URL, in lower case; empty for a folder."""
        # With a scheme, or as `host:path`, where a single letter is a drive of Windows.
        pattern = r"[a-z+]+://(?:[^/]*@)?([^/:@]+)|(?:[^/@:]+@)?([^/:]{2,}):(?!//)"
        found = re.match(pattern, self.url)
        return (found[1] or found[2]).lower() if found else ""

    @property
    def public_url(self) -> str:
        """The URL without user and password, as a web browser would take it; empty for a folder."""
        path = re.sub(r"^[a-z+]+://[^/]*/|^[^/:]+:/?", "", self.url)
        return f"https://{self.host}/{path}" if self.host else ""

    def fetch(self, branch: str) -> str:
        """Fetch a branch and return the commit that it is at, or "" if there is no such branch.

        Raises:
            PushError: The remote can't be reached.
        """
        ref = f"refs/heads/{branch}"
        try:
            listed = self._git("ls-remote", "--heads", self.name, ref)
            # What is asked for is a pattern.
            tips = {name: id for id, name in (line.split("\t") for line in listed.splitlines())}
            if ref in tips:
                self._git(*_FETCH, self.name, ref)
        except GitError as error:
            raise PushError(f"{self.name} can't be read: {_reason(error.printed)}") from error
        return tips.get(ref, "")

    def push(self, commit: str, branch: str, *, replaces: str) -> None:
        """Push a commit as a branch; raise PushError if that is refused.

        `replaces` is what the branch must still be at, or "" if it must not exist.
        """
        ref = f"refs/heads/{branch}"
        lease = f"--force-with-lease={ref}:{replaces}"
        try:
            self._git(*_PUSH, lease, self.name, f"{commit}:{ref}")
        except GitError as error:
            raise PushError(
                f"the push of {branch} to {self.name} failed: {_reason(error.printed)}"
            ) from error

    def excluded(self, branch: str) -> tuple[str, ...]:
        """Return the options of `git rev-list` for all that the remote is known to have.

        That is without what it has on `branch` alone.
        """
        tracking = f"refs/remotes/{self.name}/"
        return (f"--exclude={tracking}{branch}", f"--glob={tracking}*")

    def _git(self, *arguments: str) -> str:
        return os.fsdecode(self.worktree.git(*_QUIET, *arguments, env=_ENGLISH))


def find_remote(worktree: Worktree) -> Remote:
    """Return the remote that the checked out branch follows, else `origin`, else the only one."""

    def ask(*arguments: str) -> str:
        return os.fsdecode(worktree.git(*arguments, may_exit=(0, 1))).strip("\n")

    names = ask("remote").split()
    head = ask("symbolic-ref", "--quiet", "HEAD")
    followed = "%(upstream:remotename) %(upstream:remoteref)"
    listed = ask("for-each-ref", f"--format={followed}", head) if head else ""
    name, _, upstream = listed.partition(" ")
    if name not in names:
        name, upstream = "origin" if "origin" in names else "".join(names[:1]), ""
    if not name:
        raise NoRemoteError(worktree.top)
    own = head.removeprefix("refs/heads/")
    if not upstream and own and ask("for-each-ref", f"refs/remotes/{name}/{own}"):
        upstream = own
    return Remote(
        worktree=worktree,
        name=name,
        url=ask("remote", "get-url", "--push", name),
        base=upstream.removeprefix("refs/heads/"),
        is_only_one=len(names) == 1,
    )


def _reason(printed: Sequence[str]) -> str:
    """Return the line that says why git could not reach or write a remote repository."""
    lines = [" ".join(line.split()) for line in printed if line.strip()]
    said = [line for line in lines if line.startswith("remote: ") and "rror" in line]
    for number, line in enumerate(lines):
        if line.startswith("! ["):
            refusal = line.removeprefix("! ")
            return f"{refusal}; {said[0]}" if said else refusal
        if line.startswith("fatal:") and number and "Could not read from remote" in line:
            return lines[number - 1]  # what ssh printed
        if line.startswith("fatal:"):
            return line
    return lines[-1] if lines else "no message"
