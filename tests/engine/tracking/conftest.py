"""Only the tests of the tracker that the project has, and of what every project has."""

from ..conftest import has

collect_ignore_glob = [
    f"test_{name}*.py" for name in ("mlflow", "wandb") if not has(f"tracking.{name}")
]
