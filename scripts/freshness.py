"""Try generated projects with the newest and the lowest versions that they allow.

    make freshness [ARGS="newest lowest"]

Two projects, which have every dependency of the template between them, share one environment. Each
is linted and tested; it trains for seconds, evaluates and registers. If a step fails, the versions
are narrowed down to those that break it, starting from the last ones that worked, which are in
scripts/known-good.txt. The newest versions are recorded there if all steps work.

UV_CONSTRAINT and other variables of uv apply. The exit code is 1 if a step fails.
"""

import argparse
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from mlscaffold.new import new

KNOWN_GOOD = Path(__file__).with_name("known-good.txt")
RESOLUTIONS = {"newest": "highest", "lowest": "lowest-direct"}
STEP_WITHIN_S = 900
_SHOWN_LINES = 15

ANSWERS = {
    "text": {
        "pretrained": "huggingface",
        "distributed": "ray",
        "orchestration": "kubeflow",
        "deployment": "kubernetes",
    },
    "image": {"modality": "image", "tracking": "wandb", "serving": "bentoml"},
}
STEPS = {
    "text": (
        "make lint",
        "make test",
        "make repro register",
        'make train ARGS="training=smoke launcher=ray"',
        "make pipeline",
    ),
    "image": ("make lint", "make test", "make repro register", "make bento"),
}
ENV = {
    "NO_COLOR": "1",
    "OMP_NUM_THREADS": "1",
    "RUFF_NO_CACHE": "true",  # it would not see what an earlier step has left
    "UV_NO_SYNC": "1",
    "WANDB_MODE": "offline",
}
# What an outer make passes to inner ones.
OF_MAKE = {"ARGS", "MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS", "VIRTUAL_ENV"}

Versions = dict[str, str]
"""The version of each package in an environment, by its normalized name."""


@dataclass(frozen=True)
class Step:
    """A command that works with versions that fit, and the project that it is run in."""

    project: Path
    command: str

    def __str__(self) -> str:
        """Return how the report names it."""
        return f"{self.project.name}: {self.command}"


class ResolutionError(Exception):
    """No versions fit together; the message is uv's."""


class Environment:
    """An environment with the dependencies of some projects, in versions that change."""

    def __init__(self, folder: Path, projects: Sequence[Path]) -> None:
        """Make an empty environment in a new folder."""
        self._folder, self._projects = folder, projects
        uv("venv", "--quiet", "--python", sys.executable, str(folder / "env"))

    def resolve(
        self,
        resolution: str = "highest",
        *,
        preferred: Mapping[str, str] | None = None,
        exact: Mapping[str, str] | None = None,
    ) -> Versions:
        """Return versions that fit together.

        Args:
            resolution: As `uv pip compile --resolution` takes it.
            preferred: Versions that are taken unless another package needs others.
            exact: Versions that must be taken.

        Raises:
            ResolutionError: There are none.
        """
        pins, exactly = self._folder / "pins.txt", self._folder / "exact.txt"
        pins.write_text(written(preferred or {}))
        exactly.write_text(written(exact or {}))
        files = [str(project / "pyproject.toml") for project in self._projects]
        # The option takes the place of the variable.
        files_of_constraints = [str(exactly), *constraints()]
        done = uv(
            "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--no-strip-extras",
            "--python", str(self._folder / "env"), "--resolution", resolution,
            "--output-file", str(pins),
            *chain.from_iterable(("--constraint", file) for file in files_of_constraints),
            *chain.from_iterable(
                ("--group", f"{project / 'pyproject.toml'}:{group}")
                for project in self._projects
                for group in groups(project)
            ), *files,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise ResolutionError(done.stderr.strip())
        return read(pins.read_text())

    def install(self, versions: Mapping[str, str]) -> None:
        """Make the environment hold these versions and nothing else."""
        pins = self._folder / "installed.txt"
        pins.write_text(written(versions))
        uv("pip", "sync", "--quiet", "--python", str(self._folder / "env"), str(pins))

    def run(self, step: Step) -> str:
        """Return "" if a step works, else the end of what it printed."""
        env = self._folder / "env"
        variables = {name: value for name, value in os.environ.items() if name not in OF_MAKE}
        variables |= ENV | {
            "PATH": f"{env / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(step.project / "src"),
            "UV_PROJECT_ENVIRONMENT": str(env),
        }
        try:
            done = subprocess.run(
                ["sh", "-c", step.command], cwd=step.project, env=variables, text=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                timeout=STEP_WITHIN_S,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"took more than {STEP_WITHIN_S} s"
        lines = done.stdout.strip().splitlines()[-_SHOWN_LINES:]
        return "\n".join(lines) or f"exit code {done.returncode}" if done.returncode else ""


def main() -> None:
    """Try what the command line names; exit with 1 if a step fails."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("which", nargs="*", metavar="newest|lowest", help="default: both")
    which = parser.parse_args().which or [*RESOLUTIONS]
    if unknown := {*which} - {*RESOLUTIONS}:
        parser.error(f"expected newest or lowest, got {', '.join(sorted(unknown))}")
    with TemporaryDirectory() as folder:
        projects = [render(name, Path(folder)) for name in ANSWERS]
        steps = [Step(project, step) for project in projects for step in STEPS[project.name]]
        environment = Environment(Path(folder), projects)
        results = [fits(one, environment, projects, steps, KNOWN_GOOD) for one in which]
    sys.exit(not all(results))


def render(name: str, folder: Path) -> Path:
    """Return a new project whose training takes seconds."""
    project = folder / name
    new(str(project), given=ANSWERS[name], with_git=True, with_lock=False)
    config = project / "configs" / "config.yaml"
    config.write_text(config.read_text().replace("training: default", "training: smoke"))
    return project


def fits(
    which: str,
    environment: Environment,
    projects: Sequence[Path],
    steps: Sequence[Step],
    known_good: Path,
) -> bool:
    """Run the steps with the newest or the lowest versions; print a report of what breaks."""
    good = read(known_good.read_text()) if known_good.exists() else {}
    print(f"## The {which} versions\n", flush=True)
    try:
        tried = environment.resolve(RESOLUTIONS[which])
    except ResolutionError as error:
        print(f"- they do not fit together: {error}")
        return False
    direct = requirements(projects)
    for file in constraints():
        print(f"- held by UV_CONSTRAINT: {', '.join(Path(file).read_text().split())}")
    if which == "lowest":
        for name, bound in not_at_their_lowest(direct, tried):
            print(f"- {name} {bound} can't be installed beside the others: {tried[name]} is tried")
    environment.install(tried)
    failed = {}
    for step in steps:
        output = environment.run(step)
        print(f"- {step}: {'fails' if output else 'works'}", flush=True)
        if output:
            failed[step] = output
    for step, output in failed.items():
        print(f"\n### {step}\n\n```text\n{output}\n```\n")
        print(explained(step, environment, good, tried), flush=True)
    if which == "newest" and not failed:
        known_good.write_text(written(tried))
    print(f"\n{len(direct)} dependencies, {len(tried)} packages: ", end="")
    print(f"{len(failed)} of {len(steps)} steps failed\n" if failed else "all steps work\n")
    return not failed


def explained(step: Step, environment: Environment, good: Versions, tried: Versions) -> str:
    """Return a sentence that names what breaks a step: packages, or something else."""
    if not good:
        return f"Which version breaks it is not known: {KNOWN_GOOD.name} is missing."

    def works(names: Sequence[str]) -> bool:
        exact = {name: tried[name] for name in names}
        environment.install(environment.resolve(preferred=good, exact=exact))
        return not environment.run(step)

    changed = [name for name in tried if tried[name] != good.get(name)]
    if not works(()):
        return "It also fails with the versions that worked before: no new version breaks it."
    found = breaking(changed, works)
    if not found:
        return "It works when it is repeated with the same versions: the failure is a random one."
    shown = [f"{name} {tried[name]} ({good.get(name, 'none')} works)" for name in found]
    return f"Broken by {', '.join(shown)}."


def breaking(names: Sequence[str], works: Callable[[Sequence[str]], bool]) -> list[str]:
    """Return the packages whose new versions break what works without them.

    Halves that work alone and fail together are returned as one.
    """
    if works(names):
        return []
    if len(names) == 1:
        return [*names]
    middle = len(names) // 2
    found = [*breaking(names[:middle], works), *breaking(names[middle:], works)]
    return found or [*names]


def requirements(projects: Sequence[Path]) -> list[Requirement]:
    """Return what the projects ask for, each once."""
    texts: set[str] = set()
    for project in projects:
        document = tomllib.loads((project / "pyproject.toml").read_text())
        texts.update(document["project"]["dependencies"], *groups(project).values())
    return [Requirement(text) for text in sorted(texts)]


def groups(project: Path) -> dict[str, list[str]]:
    """Return the dependency groups of a project that `uv sync` installs."""
    document = tomllib.loads((project / "pyproject.toml").read_text())
    names = document["tool"]["uv"]["default-groups"]
    return {name: document["dependency-groups"][name] for name in names}


def not_at_their_lowest(
    direct: Sequence[Requirement], tried: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield each requirement whose lower bound was not tried, with the bound."""
    for requirement in direct:
        name = canonicalize_name(requirement.name)
        bounds = [one.version for one in requirement.specifier if one.operator in (">=", "==")]
        if bounds and Version(tried[name]) > Version(bounds[0]):
            yield name, bounds[0]


def constraints() -> list[str]:
    """Return the files in UV_CONSTRAINT."""
    return os.environ.get("UV_CONSTRAINT", "").split()


def read(pins: str) -> Versions:
    """Return the versions in a requirements file; builds such as `+cpu` are left out."""
    found = re.findall(r"^([\w.-]+)(?:\[.*?\])?==([^\s;+]+)", pins, re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def written(versions: Mapping[str, str]) -> str:
    """Return versions as a requirements file."""
    return "".join(f"{name}=={version}\n" for name, version in sorted(versions.items()))


def uv(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run uv; exit with its message if it fails and that is not expected."""
    done = subprocess.run(["uv", *arguments], capture_output=True, text=True)
    if check and done.returncode:
        sys.exit(f"uv {' '.join(arguments[:2])}: {done.stderr.strip()}")
    return done


if __name__ == "__main__":
    main()
