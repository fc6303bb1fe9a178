"""dvc.yaml names the code that a stage uses: it is compared with what its modules import."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from choices import COVERING, named
from conftest import Render

PACKAGE = "toy_project"
STAGES = ("fetch", "preprocess", "train", "evaluate")

LEFT_OUT = {
    "artifacts.py": "says where files are, as dvc.yaml does, and puts them there",
    "compose.py": "reads the settings, which are params",
    "config.py": "has the defaults of the settings, which are params",
    "errors.py": "words messages",
    "evaluation/plots.py": "draws for an objective, which `evaluate` alone asks for",
    "lineage.py": "notes where a model came from, which each commit changes",
    "lookup.py": "finds the file that a setting names, which is a dependency itself",
    "monitoring": "samples what the bundle already depends on, for a comparison in production",
    "rules.py": "refuses settings",
    "running.py": "keeps two stages from running at once",
    "tracking": "records runs: a change of tracker must not train a model again",
}
"""What stages use and dvc.yaml does not name, with the reason: a change of it changes no output."""


class Source:
    """A project's package: what its modules use of it, by name relative to the package."""

    def __init__(self, project: Path) -> None:
        self.root = project / "src" / PACKAGE

    def used(self, *modules: str) -> set[str]:
        """The modules that these use, themselves among them; `models/*` for one looked up there."""
        found: set[str] = set()
        waiting = list(modules)
        while waiting:
            if (name := waiting.pop()) not in found:
                found.add(name)
                waiting += self.uses(self.root / name) if name.endswith(".py") else []
        return found

    def uses(self, path: Path) -> Iterator[str]:
        """Yield what a module imports, anywhere in it, and the folders in which it looks up."""
        for node in executed(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
                for alias in node.names:
                    if file := self.file_of(base / alias.name) or self.file_of(base):
                        yield file.relative_to(self.root).as_posix()
            elif isinstance(node, ast.keyword) and isinstance(node.value, ast.Constant):
                yield from [f"{node.value.value}/*"] if node.arg == "folder" else []

    @staticmethod
    def file_of(module: Path) -> Path | None:
        """The file of a module or a package."""
        files = (module.with_suffix(".py"), module / "__init__.py")
        return next((file for file in files if file.exists()), None)


def executed(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield every node but those that only a type checker reads."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            yield from executed(node)


def dependencies(project: Path, stage: str) -> set[str]:
    """The parts of the package that dvc.yaml names for a stage."""
    stages = yaml.safe_load((project / "dvc.yaml").read_text("utf-8"))["stages"]
    prefix = f"src/{PACKAGE}/"
    return {dep.removeprefix(prefix) for dep in stages[stage]["deps"] if dep.startswith(prefix)}


def files(project: Path, dependency: str) -> set[str]:
    """The modules of a dependency, and `models/*` for all that may be looked up in it."""
    root = project / "src" / PACKAGE
    if folder := re.fullmatch(r"(\w+)/\${.*}\.py", dependency):
        configs = (project / "configs" / folder[1]).glob("*.yaml")
        return {f"{folder[1]}/*", *(f"{folder[1]}/{path.stem}.py" for path in configs)}
    modules = [path.relative_to(root) for path in (root / dependency).rglob("*.py")]
    looked_up = {f"{module.parent.as_posix()}/*" for module in modules}
    return {dependency, f"{dependency}/*", *looked_up, *(module.as_posix() for module in modules)}


class Stage(NamedTuple):
    """What dvc.yaml names of the package, and what is used of it."""

    named: dict[str, set[str]]
    """The files of each dependency."""
    by_itself: set[str]
    """What its own file leads to."""
    with_pieces: set[str]
    """And what the files of its dependencies lead to."""
    left_out: dict[str, set[str]]
    """The files of what dvc.yaml need not name."""


@pytest.fixture(scope="module", params=COVERING, ids=named)
def stages(request: pytest.FixtureRequest, render: Render) -> dict[str, Stage]:
    """The stages of a project, by name."""
    project = render(**request.param)
    source, found = Source(project), {}
    left_out = {one: files(project, one) for one in LEFT_OUT}
    for stage in STAGES:
        named = {one: files(project, one) for one in dependencies(project, stage)}
        by_itself = source.used(f"{stage}.py")
        with_pieces = source.used(*by_itself.union(*named.values()))
        found[stage] = Stage(named, by_itself, with_pieces, left_out)
    return found


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_names_what_it_uses_and_nothing_else(name: str, stages: dict[str, Stage]) -> None:
    stage = stages[name]
    known = set().union(*stage.named.values(), *stage.left_out.values())
    assert stage.with_pieces - known == set()
    assert [one for one in stage.named if not stage.named[one] & stage.by_itself] == []


def test_what_is_left_out_is_used(stages: dict[str, Stage]) -> None:
    used = set().union(*(stage.with_pieces for stage in stages.values()))
    assert [one for one, files in stages["fetch"].left_out.items() if not files & used] == []
