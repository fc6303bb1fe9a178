"""How mlscaffold, copier, cruft and git keep a template's releases, and update projects to them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edit_steps import Edit, Files
from natural_edits import NAME

from mlscaffold.new import new
from mlscaffold.rendering.render_cache import RenderCache
from mlscaffold.update import UpdateRequest, update

OLD = "v1.0.0"
AUTHOR = {"author_name": "Ada Lovelace", "author_email": "ada@example.com"}
IDENTITY = {
    f"GIT_{role}_{key}": AUTHOR[f"author_{key.lower()}"]
    for role in ("AUTHOR", "COMMITTER")
    for key in ("NAME", "EMAIL")
}


@dataclass(frozen=True)
class History:
    """A project that a user has edited, and the release that it is updated to."""

    number: int
    edits: Sequence[Edit]
    changes: Sequence[Edit]
    base: Files
    edited: Files
    release: Files

    @property
    def tag(self) -> str:
        """The release."""
        return f"v2.{self.number}.0"


class Bench:
    """The histories, repositories with their releases, and projects of these."""

    def __init__(self, folder: Path, histories: Sequence[History], cache: RenderCache) -> None:
        self.folder = folder
        self.histories = histories
        self.cache = cache
        self._projects: dict[str, Path] = {}

    def template(self, name: str, subfolder: str, others: Mapping[str, str]) -> Path:
        """Return a template's repository with a tag per release; the project is in `subfolder`."""
        repository = self.folder / name
        if not repository.exists():
            write(repository, others)
            write(repository / subfolder, self.histories[0].base.texts)
            commit(repository, tag=OLD)
            for history in self.histories:
                rewrite(repository / subfolder, history.base, history.release)
                commit(repository, tag=history.tag)
                git(repository, "checkout", "--quiet", "--detach", OLD)
        return repository

    def project(self, tool: str, history: History) -> Path:
        """Return a project of the old release, committed, with the user's edits in a commit."""
        if tool not in self._projects:
            self._projects[tool] = self.folder / f"made-by-{tool}" / NAME
            self._projects[tool].parent.mkdir()
            TOOLS[tool].make(self, self._projects[tool])
            commit(self._projects[tool])
        project = self.folder / "project" / NAME
        shutil.rmtree(project, ignore_errors=True)
        shutil.copytree(self._projects[tool], project)
        rewrite(project, history.base, history.edited)
        commit(project)
        return project


def rendered(project: Path) -> Files:
    """Return what this checkout's template renders to, without the file of the answers."""
    project.parent.mkdir()
    new(str(project), given=AUTHOR, with_git=False, with_lock=False)
    texts = read(project)
    del texts[".copier-answers.yml"]
    return Files(texts)


@dataclass(frozen=True)
class Tool:
    """How a tool makes a project of the old release in a new folder, and how it updates it."""

    make: Callable[[Bench, Path], object]
    update: Callable[[Bench, Path, History], Collection[str]]
    """Returns the paths that the tool names as left out. Raises an error if the tool fails."""


def copier_template(bench: Bench) -> Path:
    """Return the template for mlscaffold and copier."""
    others = {
        "copier.yml": f"project_name: {NAME}\n_subdirectory: template\n",
        "template/{{ _copier_conf.answers_file }}.jinja": "{{ _copier_answers | to_nice_yaml }}",
    }
    return bench.template("copier-template", "template", others)


def make_ours(bench: Bench, project: Path) -> None:
    new(str(project), given={}, template=str(copier_template(bench)), ref=OLD, with_lock=False)


def update_ours(bench: Bench, project: Path, history: History) -> Collection[str]:
    return update(project, UpdateRequest(to=history.tag), cache=bench.cache).left_out.keys()


def make_with_copier(bench: Bench, project: Path) -> None:
    template = copier_template(bench).as_uri()
    options = ("--quiet", "--defaults", f"--vcs-ref={OLD}")
    run(project.parent, installed("copier"), "copy", *options, f"git+{template}", project)


def update_with_copier(bench: Bench, project: Path, history: History) -> Collection[str]:
    options = ("--quiet", "--defaults", f"--vcs-ref={history.tag}")
    run(project, installed("copier"), "update", *options)
    return ()


def cruft_template(bench: Bench) -> Path:
    """Return the template for cruft; nothing in it is rendered, since it is rendered already."""
    answers = f'{{"slug": "{NAME}", "_copy_without_render": ["*"]}}'
    return bench.template("cruft-template", "{{cookiecutter.slug}}", {"cookiecutter.json": answers})


def make_with_cruft(bench: Bench, project: Path) -> None:
    options = ("--no-input", f"--checkout={OLD}", f"--output-dir={project.parent}")
    run(project.parent, installed("cruft"), "create", *options, cruft_template(bench).as_uri())


def update_with_cruft(bench: Bench, project: Path, history: History) -> Collection[str]:
    run(project, installed("cruft"), "update", "--skip-apply-ask", f"--checkout={history.tag}")
    return ()


def make_with_git(bench: Bench, project: Path) -> None:
    write(project, bench.histories[0].base.texts)


def update_with_git(bench: Bench, project: Path, history: History) -> Collection[str]:
    git(project, "checkout", "--quiet", "-b", "template", "HEAD~1")
    rewrite(project, history.base, history.release)
    commit(project)
    git(project, "checkout", "--quiet", "-")
    with suppress(subprocess.CalledProcessError):  # there are conflicts
        git(project, "merge", "--quiet", "template")
    return ()


def installed(command: str) -> str:
    """Return the path of a command, from this environment first."""
    places = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    return shutil.which(command, path=places) or sys.exit(
        f"error: {command} is missing; install it (uv tool install {command}), or choose --tools"
    )


def read(project: Path) -> dict[str, str]:
    """Return the texts of a project, without git's own files."""
    found = (path for path in project.rglob("*") if path.is_file())
    paths = {path.relative_to(project).as_posix(): path for path in found}
    return {name: paths[name].read_text("utf-8") for name in paths if name[:5] != ".git/"}


def write(folder: Path, texts: Mapping[str, str]) -> None:
    """Write files."""
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, "utf-8")


def rewrite(folder: Path, before: Files, after: Files) -> None:
    """Turn files in a folder into others."""
    for path in before.texts.keys() - after.texts.keys():
        (folder / path).unlink()
    changed = after.texts.items() - before.texts.items()
    write(folder, dict(changed))


def commit(folder: Path, *, tag: str = "") -> None:
    """Commit everything in the folder, ignored or not, and tag it."""
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--all", "--force")
    git(folder, "commit", "--quiet", "--allow-empty", "--message=Change")
    if tag:
        git(folder, "tag", tag)


def git(folder: Path, *arguments: str) -> str:
    """Run git and return what it printed."""
    return run(folder, "git", *arguments)


def run(folder: Path, *command: str | Path) -> str:
    """Return what a command printed; raise CalledProcessError if it fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


TOOLS: Mapping[str, Tool] = {
    "ours": Tool(make_ours, update_ours),
    "copier": Tool(make_with_copier, update_with_copier),
    "cruft": Tool(make_with_cruft, update_with_cruft),
    "git": Tool(make_with_git, update_with_git),
}
