"""Stands in for `gh` and `glab`: the commands that mlscaffold uses, with requests in a file.

It takes no option that the real programs do not have.
"""

import argparse
import fcntl
import json
import os
import sys
from pathlib import Path
from typing import Any

STATE = "STAND_IN_FORGE"
"""The variable with the folder of its state: `requests.json`, `calls.json`, and what fails."""


class Forge:
    """Its programs on PATH, and what they have been asked."""

    def __init__(self, folder: Path, *programs: str) -> None:
        self.state, self.programs = folder / "state", folder / "bin"
        self.state.mkdir(parents=True)
        self.programs.mkdir()
        for program in programs:
            file = self.programs / program
            file.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} {program} "$@"\n')
            file.chmod(0o755)

    def environment(self) -> dict[str, str]:
        """Return the variables to run a command with."""
        path = f"{self.programs}{os.pathsep}{os.environ['PATH']}"
        return {"PATH": path, STATE: str(self.state)}

    def requests(self, repository: Path) -> list[dict[str, Any]]:
        """Return the requests of a repository."""
        return _read(self.state / "requests.json", {}).get(str(repository), [])

    def set(self, repository: Path, requests: list[dict[str, Any]]) -> None:
        """Replace the requests of a repository."""
        _store(self.state, str(repository), requests)

    def calls(self) -> list[list[str]]:
        """Return the arguments of each call."""
        return _read(self.state / "calls.json", [])

    def fails(self, command: str, message: str) -> None:
        """Let a command such as `pr create` fail from now on."""
        (self.state / command).write_text(message)


def main(program: str, *arguments: str) -> int:
    state = Path(os.environ[STATE])
    with (state / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _answered(state, program, *arguments)


def _answered(state: Path, program: str, *arguments: str) -> int:
    calls = _read(state / "calls.json", [])
    (state / "calls.json").write_text(json.dumps([*calls, [program, *arguments]]))
    group, verb, *rest = arguments
    told = state / f"{group} {verb}"
    if told.exists():
        print(told.read_text(), file=sys.stderr)
        return 1
    if group == "api":
        _patch(state, verb, rest)
    elif group != "auth":
        {"gh": _pull_request, "glab": _merge_request}[program](state, verb, rest)
    return 0


def _pull_request(state: Path, verb: str, rest: list[str]) -> None:
    parser = argparse.ArgumentParser()
    for name in ("head", "state", "json", "base", "title", "body-file", "repo"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--draft", action="store_true")
    parser.add_argument("--undo", action="store_true")
    parser.add_argument("address", nargs="?")
    given = parser.parse_args(rest)
    repository, requests = _requests(state)
    if verb == "list":
        found = [one for one in requests if one["head"] == given.head]
        print(json.dumps([{key: one[key] for key in given.json.split(",")} for one in found]))
        return
    if verb == "create":
        number = len(requests) + 1
        url = f"https://forge.example/acme/toy/pull/{number}"
        base = {"number": number, "url": url, "head": given.head, "base": given.base}
        said = {"title": given.title, "body": sys.stdin.read(), "isDraft": given.draft}
        requests.append(base | said | {"isCrossRepository": False})
        print(f"Creating pull request\n{url}")
    else:
        (one,) = (one for one in requests if one["url"] == given.address)
        one["isDraft"] = given.undo
    _store(state, repository, requests)


def _patch(state: Path, address: str, rest: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--method", choices=["PATCH"], required=True)
    parser.add_argument("--hostname", choices=["forge.example"], required=True)
    parser.add_argument("--raw-field", required=True)
    parser.add_argument("--field", choices=["body=@-"], required=True)
    given = parser.parse_args(rest)
    repository, requests = _requests(state)
    start, _, number = address.rpartition("/")
    assert start == "repos/acme/toy/pulls"
    title = given.raw_field.removeprefix("title=")
    requests[int(number) - 1].update({"title": title, "body": sys.stdin.read()})
    _store(state, repository, requests)


def _merge_request(state: Path, verb: str, rest: list[str]) -> None:
    parser = argparse.ArgumentParser()
    for name in ("source-branch", "output", "target-branch", "title", "description", "repo"):
        parser.add_argument(f"--{name}")
    for name in ("draft", "yes", "remove-source-branch"):
        parser.add_argument(f"--{name}", action="store_true")
    parser.add_argument("number", nargs="?", type=int)
    given = parser.parse_args(rest)
    repository, requests = _requests(state)
    if verb == "list":
        found = [one for one in requests if one["source_branch"] == given.source_branch]
        print(json.dumps(found or None))
        return
    said = {"title": given.title, "description": given.description, "draft": given.draft}
    if verb == "create":
        number = len(requests) + 1
        url = f"https://forge.example/-/merge_requests/{number}"
        branches = {"source_branch": given.source_branch, "target_branch": given.target_branch}
        ids = {"iid": number, "web_url": url, "source_project_id": 1, "target_project_id": 1}
        requests.append(ids | branches | said)
        print(f"!{number} {given.title} ({given.source_branch})\n {url}")
    else:
        requests[given.number - 1].update(said)
    _store(state, repository, requests)


def _requests(state: Path) -> tuple[str, list[dict[str, Any]]]:
    repository = str(Path.cwd())
    return repository, _read(state / "requests.json", {}).get(repository, [])


def _store(state: Path, repository: str, requests: list[dict[str, Any]]) -> None:
    file = state / "requests.json"
    file.write_text(json.dumps(_read(file, {}) | {repository: requests}))


def _read(file: Path, default: Any) -> Any:
    return json.loads(file.read_text()) if file.exists() else default


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
