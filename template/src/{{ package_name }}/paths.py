"""Where each stage writes its artifact, relative to the project's root."""

from pathlib import Path

from .errors import ProjectError

CONFIGS = Path("configs")
PARAMS = Path("params.yaml")
RAW_CSV = Path("data/raw/dataset.csv")
PROCESSED = Path("data/processed")
CHECKPOINTS = Path("models/checkpoints")
BUNDLE = Path("models/bundle")
CODE = Path("models/code")
REPORTS = Path("reports")
HISTORY_CSV = REPORTS / "history.csv"
TRACE = REPORTS / "trace.json"
METRICS_JSON = REPORTS / "metrics.json"
MODEL_CARD = REPORTS / "model_card.md"


def require(path: Path, *, stage: str) -> Path:
    """Return `path` if it exists.

    Raises:
        ProjectError: It does not; the message names the stage that makes it.
    """
    if not path.exists():
        raise ProjectError(f"{path} is missing; run `make {stage}` first, or `make repro` for all")
    return path
