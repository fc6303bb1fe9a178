"""What tests of `--open-pr` share: pushed projects with a remote on disk, and their updates."""

import shutil
from pathlib import Path

import pytest
from evolving import template_of
from stand_in_forge import Forge
from templates import commit, git
from toys import Toys

from mlscaffold.update import UpdateResult
from mlscaffold.updating.publication import published

BRANCH = "template-update"
MAKEFILE = "test:\n\tpytest\n\nclean:\n\trm -rf data models\n"


def proposing_template(folder: Path) -> Path:
    """A template with a release whose change a rule settles, and one that conflicts."""
    return template_of(
        folder,
        {
            "v1.0.0": {
                "Makefile": MAKEFILE,
                "main.py": "a = 1\n",
                "pyproject.toml": "[a]\nb = 1\n",
            },
            "v2.0.0": {
                "Makefile": f"{MAKEFILE}\ntheirs:\n\techo theirs\n",
                "pyproject.toml": "[a]\nb = 2\n",
                "new.txt": "new\n",
            },
            "v3.0.0": {"main.py": "a = 3\n"},
        },
    )


def pushed_toy(toys: Toys, template: Path, at: Path) -> Path:
    """A project of the first release, with a target of its own, pushed to `origin`."""
    toy = toys.make(at, template=template)
    (toy / "Makefile").write_text(f"{MAKEFILE}\nmine:\n\techo mine\n")
    (toy / "main.py").write_text("a = 2\n")
    commit(toy)
    with_remote(toy)
    return toy


def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *programs: str) -> Forge:
    """The stand-ins on PATH; whatever this machine has is not."""
    forge = Forge(tmp_path / "forge", *programs)
    for program in ("git", "sh"):
        (forge.programs / program).symlink_to(str(shutil.which(program)))
    for name, value in forge.environment().items():
        monkeypatch.setenv(name, str(forge.programs) if name == "PATH" else value)
    return forge


def with_remote(project: Path) -> Path:
    """The remote repository of a project, which is pushed to it."""
    remote = project.with_name(f"{project.name}.git")
    git(project.parent, "init", "--quiet", "--bare", "--initial-branch=main", str(remote))
    git(project, "remote", "add", "origin", str(remote))
    git(project, "push", "--quiet", "--set-upstream", "origin", "main")
    return remote


def remote_of(project: Path) -> Path:
    return project.with_name(f"{project.name}.git")


def tip(repository: Path) -> str:
    return git(repository, "for-each-ref", "--format=%(objectname)", f"refs/heads/{BRANCH}")


def propose(toys: Toys, project: Path, to: str = "v2.0.0") -> UpdateResult:
    """The result of an update whose branch is pushed, and for which a request is opened."""
    done = toys.update(project, to=to, branch=BRANCH, opens_pr=True)
    return published([done], BRANCH)[0]


def hook(remote: Path, script: str) -> None:
    file = remote / "hooks" / "pre-receive"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
