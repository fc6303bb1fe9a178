"""Who may know whom in the generator."""

import ast
import re
import sys
from graphlib import TopologicalSorter
from importlib import metadata
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "mlscaffold"
MODULES = {path.stem: ast.parse(path.read_text()) for path in PACKAGE.glob("*.py")}


def imports(tree: ast.Module) -> set[str]:
    """The top names of all that is imported, wherever it stands; our own modules by '.name'."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            found |= {f".{node.module}"} if node.module else {f".{a.name}" for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module).split(".")[0])
    return found


def importers(name: str) -> set[str]:
    """The modules that import `name`."""
    return {module for module, tree in MODULES.items() if name in imports(tree)}


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("typer", {"cli"}),
        ("rich", {"cli"}),
        ("copier", {"renderer"}),
        ("plumbum", {"renderer"}),
        ("jinja2", {"questions"}),
        ("subprocess", {"git", "lock", "doctor", "sandbox"}),
        ("mlscaffold", set()),
    ],
)
def test_only_its_wall_imports(name: str, allowed: set[str]) -> None:
    assert importers(name) == allowed


def test_what_is_imported_is_a_declared_dependency() -> None:
    imported = set().union(*map(imports, MODULES.values())) - sys.stdlib_module_names
    distributions = metadata.packages_distributions()
    requires = metadata.requires("mlscaffold") or []
    declared = {re.split(r"[^A-Za-z0-9-]", requirement)[0] for requirement in requires}
    needed = {distributions[name][0].lower() for name in imported if not name.startswith(".")}
    assert needed == declared


def test_only_git_runs_git() -> None:
    named = {
        module
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.List) and node.elts and ast.unparse(node.elts[0]) == "'git'"
    }
    assert named == {"git"}


def test_only_the_command_line_prints_and_exits() -> None:
    talking = {
        module
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"print", "sys.exit", "exit"}
    }
    assert talking == {"cli"}


def test_the_package_is_a_graph_without_cycles() -> None:
    graph = {
        module: {name[1:] for name in imports(tree) if name.startswith(".")} & MODULES.keys()
        for module, tree in MODULES.items()
    }
    order = list(TopologicalSorter(graph).static_order())
    assert order.index("errors") < order.index("git") < order.index("new") < order.index("cli")
