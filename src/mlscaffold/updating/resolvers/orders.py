"""Lists whose order has a meaning, and lists where it has none, by their names and their items."""

import re
from collections.abc import Iterable, Sequence

from . import items

# Lists whose order has no meaning, in the files of a project and of its services.
_UNORDERED = {
    "additional_dependencies", "allowed-unresolved-imports", "assignees", "branches",
    "branches-ignore", "build-constraint-dependencies", "classifiers", "constraint-dependencies",
    "default-groups", "dependencies", "deps", "exclude", "extend-exclude", "extend-ignore",
    "extend-select", "fixable", "ignore", "keywords", "markers", "needs", "omit", "only-include",
    "outs", "packages", "paths-ignore", "plots", "requires", "reviewers", "select", "tags",
    "testpaths", "types", "types_or", "unfixable",
}  # fmt: skip
# By the outermost key around them; elsewhere they may be classes, columns or where to search.
_UNORDERED_IN = {"labels": "updates", "metrics": "stages", "params": "stages", "paths": "on"}
# Lists of requirements, with or without versions.
REQUIREMENTS = {
    "additional_dependencies", "build-constraint-dependencies", "constraint-dependencies",
    "dependencies", "override-dependencies", "pip", "requirements", "requires",
}  # fmt: skip
# What is applied in order, and may be in alphabetical order by chance.
_ORDERED = {
    "augmentations", "callbacks", "commands", "compose", "defaults", "filterwarnings", "include",
    "layers", "ordereddict", "pipeline", "script", "sequential", "stages", "steps", "transforms",
}  # fmt: skip
_SORTED = 4


def is_unordered(name: str, versions: Iterable[Sequence[str]], root: str = "") -> bool:
    """Return whether the order of a list has no meaning, from its name or its items.

    Four items or more in alphabetical order have none, unless one is a sentence or a command.

    Args:
        name: Its key, or the line up to it.
        versions: The items of its versions.
        root: The outermost key around it.
    """
    if name in _UNORDERED or (root and _UNORDERED_IN.get(name) == root):
        return True
    return not is_ordered(name) and all(
        len(one) >= _SORTED and items.is_sorted(one) and not any(" " in item for item in one)
        for one in versions
    )


def is_ordered(line: str) -> bool:
    """Return whether a line, such as the first of a list, names something that has an order."""
    return not _ORDERED.isdisjoint(re.findall(r"[a-z]+", line.lower()))
