"""Small templates in git, for tests that do not need the bundled one."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
COPIER_YML = """\
project_name:
  type: str
  help: The name
  default: toy
  validator: >-
    {% if not project_name | regex_search('^[A-Za-z0-9._-]+$') %}must be one word{% endif %}
size:
  type: int
  help: How big
  choices: [3, 5]
  default: 3
_subdirectory: template
_exclude: [.git]
"""
FILES = {
    "{{ _copier_conf.answers_file }}.jinja": "{{ _copier_answers | to_nice_yaml }}",
    "name.txt.jinja": "{{ project_name }}\n",
}


def commit_template(
    folder: Path,
    *,
    tag: str | None = None,
    files: Mapping[str, str] | None = None,
    components: str = "",
) -> Path:
    """Commit a template of two questions, two files and `files` to a repository in `folder`.

    There is no components.yml unless its text is given.
    """
    (folder / "template").mkdir(parents=True, exist_ok=True)
    (folder / "copier.yml").write_text(COPIER_YML)
    if components:
        (folder / "components.yml").write_text(components)
    for name, content in {**FILES, **(files or {})}.items():
        (folder / "template" / name).write_text(content)
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder, tag=tag)
    return folder


def copy_checkout(folder: Path) -> Path:
    """Return a repository in `folder` with one commit: this checkout's files as they are."""
    listed = git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder)
    return folder


def commit(folder: Path, *, tag: str | None = None) -> None:
    """Commit all that lies in the folder, and tag it."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=Change", "--allow-empty")
    if tag:
        git(folder, "tag", tag)


def git(folder: Path, *arguments: str) -> str:
    """Run git; return what it printed."""
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()
