"""Only the tests of the tracker that the project has, and of what every project has."""

from importlib.util import find_spec

collect_ignore_glob = [
    f"test_{name}*.py"
    for name in ("mlflow", "wandb")
    if find_spec(f"toy_project.tracking.{name}") is None
]
