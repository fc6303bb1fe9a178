"""Jobs of a project's CI, run as the runners of GitHub and GitLab run their scripts."""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Variables = Mapping[str, str]

_DEFAULT = ("before_script", "after_script")
"""What a job of GitLab takes from `default`, if it inherits it."""


@dataclass(frozen=True)
class Script:
    """Lines that one shell runs, and what the job sets in their environment."""

    lines: str
    env: Variables


def evaluated(expression: str, **names: Any) -> Any:
    """Return the value of an expression of a workflow's `if` or of a rule.

    Of their languages it knows ==, !=, &&, ||, texts and names, whose values Python has too.
    """
    for theirs, ours in (("&&", " and "), ("||", " or "), ("$", "variables.")):
        expression = expression.replace(theirs, ours)
    return eval(expression, {"__builtins__": {}}, names)


class Context:
    """Values by name, as expressions see them: what is not there is empty."""

    def __init__(self, values: Variables) -> None:
        self._values = values

    def __getattr__(self, name: str) -> str:
        return self._values.get(name, "")


def of_github(project: Path, job: str, given: Variables) -> Iterator[Script]:
    """Yield the scripts of a job that is the only one of its workflow; actions are left out.

    `given` are the repository's variables and secrets.
    """
    for path in (project / ".github" / "workflows").glob("*.yml"):
        found = yaml.safe_load(path.read_text())["jobs"].get(job, {"steps": ()})
        for step in found["steps"]:
            env = {k: _filled(str(v), project, given) for k, v in step.get("env", {}).items()}
            if "run" in step:
                yield Script(f"set -e\n{step['run']}", env)


def _filled(text: str, project: Path, given: Variables) -> str:
    def value(match: re.Match[str]) -> str:
        known = {"vars": Context(given), "secrets": Context(given)}
        found = evaluated(
            match[1],
            hashFiles=lambda path: "digest" if (project / path).exists() else "",
            **known,
        )
        return str(found).lower() if isinstance(found, bool) else found

    return re.sub(r"\$\{\{ *(.*?) *\}\}", value, text)


def of_gitlab(project: Path, job: str, given: Variables) -> Iterator[Script]:
    """Yield the scripts of a job: `before_script` with `script`, then `after_script`.

    `given` are the project's variables and those that GitLab sets.
    """
    document = yaml.safe_load((project / ".gitlab-ci.yml").read_text())
    found = document[job]
    inherited = found.get("inherit", {}).get("default", _DEFAULT)
    default = {name: document["default"][name] for name in _DEFAULT if name in inherited}
    known = {"CI_PROJECT_DIR": str(project), **given}
    env = {**document["variables"], **found.get("variables", {})}
    env = {k: re.sub(r"\$(\w+)", lambda name: known[name[1]], v) for k, v in env.items()}
    whole = {**default, **found}
    for parts in (("before_script", "script"), ("after_script",)):
        lines = [line for part in parts for line in whole.get(part, ())]
        if lines:
            yield Script("\n".join(["set -eo pipefail", *lines]), {**known, **env})


def finished(
    script: Script, project: Path, env: Variables, *, code: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run a script in the project with bash; fail unless it exits with `code`."""
    done = subprocess.run(
        ["bash", "-c", script.lines],
        cwd=project,
        env={**env, **script.env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def stand_in(folder: Path, **programs: str) -> str:
    """Write shell scripts as programs into a folder; return PATH with it in front."""
    folder.mkdir(exist_ok=True)
    for name, lines in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{lines}\n")
        (folder / name).chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"
