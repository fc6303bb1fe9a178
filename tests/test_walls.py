"""Which module of the generator may import which, and what a single module does for all."""

import ast
import re
import sys
from graphlib import TopologicalSorter
from importlib import metadata
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "mlscaffold"
VERBS = {
    "new",
    "update",
    "set",
    "add",
    "check",
    "diff",
    "patch",
    "options",
    "doctor",
    "fleet",
    "adopt",
}
# A layer imports from itself and from those after it.
LAYERS = (
    {"__main__"},
    {"cli", "dialog", "parameters", "plain_values", "printing", "process", "report", "terminal"},
    VERBS,
    {"updating"},
    {"clues", "project", "environment"},
    {"rendering", "lock", "forge"},
    {"repository"},
    {"errors", "version"},
)


def name_of(path: Path) -> str:
    """A module's name below the package, such as 'repository.git'."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


MODULES = {
    name_of(path): ast.parse(path.read_text())
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name != "__init__.py"
}


def imports(module: str) -> set[str]:
    """The top names of all that a module imports, wherever that stands, without our own."""
    found = set()
    for node in ast.walk(MODULES[module]):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(str(node.module).split(".")[0])
    return found


def own_imports(module: str, tree: ast.AST | None = None) -> set[str]:
    """The modules of the package that one imports."""
    found = set()
    for node in ast.walk(tree or MODULES[module]):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = module.split(".")[: -node.level]
            base += node.module.split(".") if node.module else []
            for alias in node.names:
                whole = ".".join([*base, alias.name])
                found.add(whole if whole in MODULES else ".".join(base))
    return found


def at_import(tree: ast.AST) -> ast.Module:
    """The tree without what only a type checker imports."""
    body = [node for node in ast.iter_child_nodes(tree) if "TYPE_CHECKING" not in head(node)]
    return ast.Module(body=body, type_ignores=[])  # ty: ignore[invalid-argument-type]


def head(node: ast.AST) -> str:
    return ast.unparse(node.test) if isinstance(node, ast.If) else ""


def layer(module: str) -> int:
    part = module.split(".")[0]
    return next(number for number, names in enumerate(LAYERS) if part in names)


def importers(name: str) -> set[str]:
    """The modules that import `name`."""
    return {module for module in MODULES if name in imports(module)}


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("typer", {"cli", "dialog", "parameters", "process"}),
        ("questionary", {"dialog"}),
        ("rich", {"process"}),
        ("copier", {"rendering.engine"}),
        ("plumbum", {"rendering.engine"}),
        (
            "jinja2",
            {"rendering.engine", "rendering.pieces", "rendering.questions", "rendering.validators"},
        ),
        ("jinja2_ansible_filters", {"rendering.validators"}),
        ("subprocess", {"repository.git", "lock", "environment", "forge", "rendering.sandbox"}),
        ("mlscaffold", set()),
    ],
)
def test_only_its_wall_imports(name: str, allowed: set[str]) -> None:
    assert importers(name) == allowed


def test_what_is_imported_is_a_declared_dependency() -> None:
    imported = set().union(*map(imports, MODULES)) - sys.stdlib_module_names
    distributions = metadata.packages_distributions()
    requires = metadata.requires("mlscaffold-cli") or []
    declared = {re.split(r"[^A-Za-z0-9-]", requirement)[0] for requirement in requires}
    assert {distributions[name][0].lower() for name in imported} == declared


def test_only_git_runs_git() -> None:
    named = {
        module
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.List) and node.elts and ast.unparse(node.elts[0]) == "'git'"
    }
    assert named == {"repository.git"}


def test_only_the_command_line_prints_and_exits() -> None:
    talking = {
        module
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"print", "sys.exit", "exit"}
    }
    assert talking == {"cli", "dialog", "printing", "process"}


def test_the_package_is_a_graph_without_cycles() -> None:
    graph = {module: own_imports(module, at_import(tree)) for module, tree in MODULES.items()}
    assert all(graph[module] for module in ("cli", "update", "rendering.render"))
    assert set(TopologicalSorter(graph).static_order()) == MODULES.keys()


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_from_its_layer_and_those_below(module: str) -> None:
    imported = own_imports(module, at_import(MODULES[module]))
    above = {other for other in imported if layer(other) < layer(module)}
    assert not above
