"""The same histories with `copier update`, `cruft update` and `mlscaffold update`.

A mark counts as lost if it is in no file of the working tree (conflict markers and .rej files
included) and in no version of an unmerged path.
"""

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evolving import RELEASES

from mlscaffold.errors import MlscaffoldError

from .environments import staged_marks
from .projects import Lab, commit, copied, difference, files_of, git, snapshot
from .users import User, marks_of

_HOOK = """\
import pathlib
unwanted = {"files": "database", "database": "files"}["{{ cookiecutter.store }}"]
pathlib.Path(f"src/store/{unwanted}.py").unlink()
"""
Update = Callable[[Path, str], int]


@dataclass
class Score:
    """The results of the histories with one tool."""

    accepted: int = 0
    refused: int = 0
    """Exit code above 0, and nothing changed."""
    half_way: int = 0
    """Exit code above 0, and something changed."""
    losing: int = 0
    """Accepted histories that lost a mark."""
    silent: int = 0
    """Those of them that ended in exit code 0."""
    marks: int = 0
    lost: int = 0


def side_by_side(lab: Lab, *, trials: int, seed: int, cruft: str | None) -> dict[str, Score]:
    """A score for each tool; without the path of cruft's program, none for cruft."""
    tools: dict[str, tuple[Update, Callable[[str, str], Path]]] = {
        "mlscaffold update": (_Ours(lab), lambda release, store: _ours(lab, release, store)),
        "copier update": (_copier, lambda release, store: _ours(lab, release, store)),
    }
    if cruft:
        peer = _Cruft(lab, cruft)
        tools["cruft update"] = (peer.update, peer.project)
    scores = {name: Score() for name in tools}
    for number in range(seed, seed + trials):
        for name, (update, project) in tools.items():
            _try(update, project, number, scores[name])
    return scores


def _try(update: Update, project_of: Callable[[str, str], Path], number: int, score: Score) -> None:
    """Run one history: a project at some release, a user's work, an update to a later one."""
    chance = random.Random(f"peers {number}")
    old = chance.randrange(len(RELEASES) - 1)
    new = chance.choice(RELEASES[old + 1 :])
    project = project_of(RELEASES[old], chance.choice(["files", "database"]))
    User(project, number).work(chance.choice([1, 3, 6]))
    before, marks = snapshot(project), marks_of(files_of(project))
    code = update(project, new)
    if code not in (0, 3):
        unchanged = not difference(before, snapshot(project))
        score.refused += unchanged
        score.half_way += not unchanged
        if unchanged:
            return
    else:
        score.accepted += 1
    lost = marks - marks_of(files_of(project)) - staged_marks(project)
    score.marks += len(marks)
    score.lost += len(lost)
    score.losing += bool(lost)
    score.silent += bool(lost) and code == 0


class _Ours:
    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def __call__(self, project: Path, release: str) -> int:
        try:
            return 3 if self.lab.update(project, to=release).conflicts else 0
        except MlscaffoldError:
            return 1


def _ours(lab: Lab, release: str, store: str) -> Path:
    return lab.project("peer", release=release, store=store)


def _copier(project: Path, release: str) -> int:
    program = Path(sys.executable).parent / "copier"
    command = [program, "update", "--defaults", "--quiet", "--vcs-ref", release]
    return _exit_code(command, project)


@dataclass
class _Cruft:
    """Cruft, with the same template as cookiecutter has it."""

    lab: Lab
    program: str
    made: dict[tuple[str, str], Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.template = cookiecutter_template(self.lab.template, self.lab.folder / "cookiecutter")

    def project(self, release: str, store: str) -> Path:
        key = release, store
        if key not in self.made:
            folder = self.lab.folder / "crufts" / f"{release}-{store}"
            folder.mkdir(parents=True)
            context = json.dumps({"store": store, "project_name": "toy"})
            options = ("--checkout", release, "--no-input", "--extra-context", context)
            command = [self.program, "create", str(self.template), *options]
            subprocess.run(command, cwd=folder, capture_output=True, check=True)
            git(folder / "toy", "init", "--quiet", "--initial-branch=main")
            git(folder / "toy", "add", "--all", "--force")
            commit(folder / "toy")
            self.made[key] = folder / "toy"
        return copied(self.made[key], self.lab.folder / "peer")

    def update(self, project: Path, release: str) -> int:
        command = [self.program, "update", "--skip-apply-ask", "--checkout", release]
        return _exit_code(command, project)


def _exit_code(command: Sequence[str | Path], project: Path) -> int:
    """Return the exit code of an update without a terminal."""
    nobody = subprocess.DEVNULL
    done = subprocess.run(command, cwd=project, stdin=nobody, capture_output=True, timeout=600)
    return done.returncode


def cookiecutter_template(template: Path, folder: Path) -> Path:
    """Write the template in cookiecutter's form, with a tag for each release."""
    git(template, "clone", "--quiet", "--no-local", str(template), str(folder))
    for release in RELEASES:
        git(folder, "checkout", "--quiet", "--force", "-B", "cookie", release)
        inner = folder / "{{cookiecutter.project_name}}"
        (folder / "template").rename(inner)
        (inner / "{{ _copier_conf.answers_file }}.jinja").unlink()
        for file in [path for path in inner.rglob("*") if path.is_file()]:
            if file.suffix == ".jinja":
                text = file.read_text().replace("{{ ", "{{ cookiecutter.")
                file.with_suffix("").write_text(text)
                file.unlink()
        answers = {"project_name": "toy", "store": ["files", "database"]}
        if "colour" in (folder / "copier.yml").read_text():
            answers["colour"] = ["red", "blue"]
        answers["_copy_without_render"] = ["*.bin"]
        (folder / "cookiecutter.json").write_text(json.dumps(answers))
        (folder / "copier.yml").unlink()
        (folder / "hooks").mkdir()
        (folder / "hooks" / "post_gen_project.py").write_text(_HOOK)
        git(folder, "add", "--all", "--force")
        commit(folder, release)
        git(folder, "tag", "--force", release)
        git(folder, "checkout", "--quiet", "--detach")
        shutil.rmtree(folder / "hooks", ignore_errors=True)
    return folder
