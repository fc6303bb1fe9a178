"""Open pull requests on GitHub and GitLab: the only module that runs `gh` and `glab`."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from .errors import ForgeError
from .repository.git import environment, without_secrets
from .repository.remote import Remote

_TIMEOUT_S = 120.0
_NEVER_ASKS = {
    "GH_PROMPT_DISABLED": "1",
    "GH_NO_UPDATE_NOTIFIER": "1",
    "GLAB_CHECK_UPDATE": "false",
    "GLAB_NO_PROMPT": "1",
    "NO_PROMPT": "1",
    "NO_COLOR": "1",
}


@dataclass(frozen=True, kw_only=True)
class OpenRequest:
    """A pull request, or merge request, that is open."""

    number: str
    url: str
    is_draft: bool


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What a pull request says."""

    branch: str
    base: str
    """The branch to merge it into; the repository's default branch if it is empty."""
    title: str
    body: str
    is_draft: bool


class Forge(Protocol):
    """GitHub or GitLab, by the command line that each has."""

    def find(self, branch: str) -> OpenRequest | None:
        """Return the open request from a branch of this repository, or `None`."""
        ...

    def open(self, proposal: Proposal) -> str:
        """Open a request and return its URL."""
        ...

    def edit(self, request: OpenRequest, proposal: Proposal) -> None:
        """Change a request to what the proposal says."""
        ...


def find_forge(remote: Remote) -> Forge:
    """Return what the remote's host runs; raise ForgeError if its command line is missing.

    A host that has neither name in its own is asked for among those that `gh` and `glab` know.
    """
    programs = {"gh": GitHub, "glab": GitLab}
    installed = [name for name in programs if shutil.which(name)]
    named = {"gh": "github", "glab": "gitlab"}
    wanted = [name for name in programs if named[name] in remote.host]
    if wanted and wanted[0] not in installed:
        raise ForgeError(f"{remote.host} needs {wanted[0]}, which is not installed")
    if not installed:
        raise ForgeError("to open a pull request, install gh (GitHub) or glab (GitLab)")
    found = wanted or installed
    if len(found) > 1:
        known = [name for name in found if _knows(name, remote.host)]
        if len(known) != 1:
            raise ForgeError(
                f"{remote.host or remote.name} may be GitHub or GitLab: log in with one of "
                "`gh auth login --hostname HOST` and `glab auth login --hostname HOST`"
            )
        found = known
    return programs[found[0]](remote)


def _knows(program: str, host: str) -> bool:
    command = [program, "auth", "status", "--hostname", host]
    return bool(host) and _finished(command, cwd=None).returncode == 0


class _CommandLine:
    program = ""

    def __init__(self, remote: Remote) -> None:
        self._cwd = remote.worktree.top
        self._repository = () if remote.is_only_one else ("--repo", remote.public_url)

    def _run(self, *arguments: str, stdin: str = "") -> str:
        """Run the program and return what it printed."""
        command = [self.program, *arguments]
        done = _finished(command, cwd=self._cwd, stdin=stdin)
        if done.returncode:
            lines = [one.strip() for one in done.stderr.splitlines() if one.strip()]
            reason = without_secrets(lines[0]) if lines else f"exit code {done.returncode}"
            raise ForgeError(f"{' '.join(command[:3])} failed: {reason}")
        return done.stdout

    def _first(
        self, request_of: Callable[[Any], OpenRequest | None], *arguments: str
    ) -> OpenRequest | None:
        """Return the first request of a list that the program prints and `request_of` takes."""
        printed = self._run(*arguments, *self._repository)
        try:
            listed = json.loads(printed or "[]") or []  # of none, `null`
            return next(filter(None, map(request_of, listed)), None)
        except (KeyError, TypeError, ValueError) as error:
            raise ForgeError(
                f"{self.program} {arguments[0]} list printed no list of requests: upgrade it"
            ) from error

    def _opened(self, *arguments: str, is_draft: bool, stdin: str = "") -> str:
        """Create a request and return its URL; not as a draft where that is not offered."""
        command = *arguments, *self._repository
        try:
            printed = self._run(*command, *(["--draft"] if is_draft else []), stdin=stdin)
        except ForgeError:
            if not is_draft:
                raise
            printed = self._run(*command, stdin=stdin)
        urls = re.findall(r"https?://\S+", printed)
        return urls[-1] if urls else ""


class GitHub(_CommandLine):
    """A repository on GitHub."""

    program = "gh"

    def find(self, branch: str) -> OpenRequest | None:
        fields = "number,url,isDraft,isCrossRepository"
        asked = ("pr", "list", "--head", branch, "--state", "open", "--json", fields)
        return self._first(self._request, *asked)

    def _request(self, one: Any) -> OpenRequest | None:
        number, url, is_draft = str(one["number"]), one["url"], one["isDraft"]
        # A fork may have a branch of the same name.
        is_ours = not one["isCrossRepository"]
        return OpenRequest(number=number, url=url, is_draft=is_draft) if is_ours else None

    def open(self, proposal: Proposal) -> str:
        base = ("--base", proposal.base) if proposal.base else ()
        said = ("--title", proposal.title, "--body-file", "-")
        return self._opened(
            *("pr", "create", "--head", proposal.branch, *base, *said),
            is_draft=proposal.is_draft,
            stdin=proposal.body,
        )

    def edit(self, request: OpenRequest, proposal: Proposal) -> None:
        # Not `pr edit`, which many versions can't do: they ask for what GitHub has removed.
        host, owner, name = request.url.split("/")[2:5]
        said = ("--raw-field", f"title={proposal.title}", "--field", "body=@-")
        self._run(
            *("api", f"repos/{owner}/{name}/pulls/{request.number}", "--method", "PATCH"),
            *("--hostname", host, *said),
            stdin=proposal.body,
        )
        if request.is_draft and not proposal.is_draft:
            self._run("pr", "ready", request.url)
        elif proposal.is_draft and not request.is_draft:
            with suppress(ForgeError):  # Not every plan has drafts; the title says it too.
                self._run("pr", "ready", request.url, "--undo")


class GitLab(_CommandLine):
    """A repository on GitLab."""

    program = "glab"

    def find(self, branch: str) -> OpenRequest | None:
        asked = ("mr", "list", "--source-branch", branch, "--output", "json")
        return self._first(self._request, *asked)

    def _request(self, one: Any) -> OpenRequest | None:
        number, url, is_draft = str(one["iid"]), one["web_url"], one["draft"]
        is_ours = one["source_project_id"] == one["target_project_id"]
        return OpenRequest(number=number, url=url, is_draft=is_draft) if is_ours else None

    def open(self, proposal: Proposal) -> str:
        base = ("--target-branch", proposal.base) if proposal.base else ()
        said = ("--title", proposal.title, "--description", proposal.body)
        return self._opened(
            *("mr", "create", "--source-branch", proposal.branch, *base, *said),
            *("--remove-source-branch", "--yes"),
            is_draft=proposal.is_draft,
        )

    def edit(self, request: OpenRequest, proposal: Proposal) -> None:
        said = ("--title", proposal.title, "--description", proposal.body)
        # A new title makes it ready to be merged.
        draft = ("--draft",) if proposal.is_draft else ()
        self._run("mr", "update", request.number, *self._repository, *said, *draft)


def _finished(
    command: list[str], *, cwd: Path | None, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    program = command[0]
    env = environment(isolated=False) | _NEVER_ASKS
    # gh would ask this repository in place of the project's own.
    env.pop("GH_REPO", None)
    try:
        return subprocess.run(
            command,
            cwd=cwd,
            env=env,
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_TIMEOUT_S,
        )
    except OSError as error:
        raise ForgeError(f"{program} can't be run: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise ForgeError(f"{program} {command[1]} did not end within {_TIMEOUT_S:g} s") from error
