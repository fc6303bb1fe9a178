"""Hostile templates, projects made from them, and the command with a memory limit."""

import os
import resource
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from evolving import write
from templates import commit, git
from toys import cli

ANSWERS_FILE = "{{ _copier_conf.answers_file }}.jinja"
QUESTIONS = """\
size:
  type: int
  choices: [3, 5]
  default: 3
"""
SETTINGS = "_subdirectory: template\n_preserve_symlinks: true\n"
MIB = 2**20


def template_of(
    folder: Path,
    *releases: Mapping[str, str | Path],
    questions: str = QUESTIONS,
    settings: str = SETTINGS,
) -> Path:
    """Write a template whose releases v1, v2... add these files; `#!` makes one executable."""
    write(folder / "template" / ANSWERS_FILE, "{{ _copier_answers | to_nice_yaml }}")
    write(folder / "copier.yml", questions + settings)
    git(folder, "init", "--quiet", "--initial-branch=main")
    for number, files in enumerate(releases or [{}], start=1):
        for name, content in files.items():
            path = folder / "template" / name
            write(path, content)
            if isinstance(content, str) and content.startswith("#!"):
                path.chmod(0o755)
        commit(folder, tag=f"v{number}")
    return folder


def project_of(template: Path, at: Path, *, release: str = "v1") -> Path:
    """Return a project of the template in the folder `at`."""
    made = cli("new", at, f"--template={template}", f"--ref={release}", "--no-lock")
    assert made.exit_code == 0, made.stderr
    return at


def mlscaffold(
    *arguments: str | Path, cwd: Path, env: Mapping[str, str] | None = None, timeout_s: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run the command with a limit of 4 GiB of memory; return the finished process."""
    return subprocess.run(
        [sys.executable, "-m", "mlscaffold", *arguments],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (4096 * MIB, 4096 * MIB)),
    )
