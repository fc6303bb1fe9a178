"""Check what works on this machine and in a project; name the command that fixes the rest."""

import os
import platform
import re
import shlex
import urllib.request
from http.client import HTTPException
from netrc import NetrcParseError, netrc
from pathlib import Path

from packaging.version import Version

from .environment import Finding, State, absent, broken, look_at_environment, output, works
from .errors import GitError, TemplateError
from .lock import find_uv
from .project import is_project, open_project
from .rendering.components import Account, Components, Server
from .rendering.releases import open_releases
from .repository import git

OLDEST_GIT = Version("2.31")

_SERVER_TIMEOUT_S = 5.0


def doctor(path: Path | None = None) -> list[Finding]:
    """Check git, uv and Python; of a project also its environment and its choices.

    Without `path` the current folder is checked if it is a project. Each check has a timeout.
    In a project whose environment may not be the user's own, nothing is run.
    """
    findings = [_git(), _uv(), _python()]
    if path is None and not is_project(Path()):
        return findings
    project = open_project(path or Path())
    try:
        components = _components(project.template)
    except (GitError, TemplateError) as error:
        fix = f"git ls-remote {shlex.quote(project.template.removeprefix('git+'))}"
        return [
            *findings,
            Finding(subject="template", state=State.UNKNOWN, detail=str(error), fix=fix),
        ]
    if components.environment:
        findings += look_at_environment(project.path, components.environment)
    for question, choices in components.choices.items():
        chosen = choices.get(str(project.answers.get(question)))
        if chosen and chosen.server:
            findings.append(_server(question, chosen.server))
        if chosen and chosen.account:
            findings.append(_account(question, chosen.account))
    return findings


def _components(template: str) -> Components:
    """Return the components of the template's newest release."""
    with open_releases(template) as releases:
        return releases.components(releases.latest())


def _git() -> Finding:
    try:
        version = git.run("version")
    except GitError as error:
        return broken("git", str(error), fix="apt-get install git, or brew install git")
    number = re.search(r"\d+(\.\d+)+", version)
    if number is None or Version(number[0]) < OLDEST_GIT:
        return broken("git", f"{version} is older than {OLDEST_GIT}", fix="upgrade git")
    return works("git", version.removeprefix("git version "))


def _uv() -> Finding:
    uv = find_uv()
    if uv is None:
        return absent("uv", "not installed", fix="python3 -m pip install uv")
    answer = output([uv, "--version"])
    return works("uv", answer) if answer else broken("uv", f"{uv} fails", fix="pip install uv")


def _python() -> Finding:
    return works("Python", platform.python_version())


def _account(subject: str, account: Account) -> Finding:
    if os.environ.get(account.mode) in account.offline:
        return works(subject, account.without)
    if os.environ.get(account.variable) or _netrc_knows(account.host):
        return works(subject, f"there is a key for {account.service}")
    return broken(subject, f"no key for {account.service}", fix=account.fix)


def _netrc_knows(host: str) -> bool:
    try:
        return host in netrc(os.environ.get("NETRC")).hosts
    except (OSError, NetrcParseError):
        return False


def _server(subject: str, server: Server) -> Finding:
    address = os.environ.get(server.variable, "")
    if not address.startswith(("http://", "https://")):
        return works(subject, server.without)
    # Without the user and password that a URL may hold.
    shown = re.sub(r"//[^/?#]*@", "//", address)
    try:
        with urllib.request.urlopen(f"{shown.rstrip('/')}{server.path}", timeout=_SERVER_TIMEOUT_S):
            return works(subject, f"{shown} answers")
    except (OSError, ValueError, HTTPException) as error:
        fix = f"unset {server.variable}, or start the server that it names"
        return broken(subject, f"{shown} does not answer: {error}", fix=fix)
