"""The servers that a project's own is compared with, each a process of the same bundle."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent
OURS = "this project"


class Rival(NamedTuple):
    """A server: how it is started, and how it is asked."""

    command: Sequence[str]
    """Arguments of Python with `{port}`, `{folder}` (an empty one) and `{field}` (a request's)."""
    path: str = "/predict"
    body: Callable[[Mapping[str, Any]], Any] = dict
    """Returns its request for a request of this project's server."""
    prepare: Callable[[str], None] = lambda folder: None
    """Writes what the server needs to the folder."""


def rivals(package: str, settings: Sequence[str]) -> dict[str, Rival]:
    """Return the servers by name, first this project's, which gets the settings."""
    bento = ("-m", "bentoml", "serve", "serving_rivals.with_bentoml:Predictions")
    mlflow = ("-m", "mlflow", "models", "serve", "--model-uri", "{folder}/model")
    local = ("--env-manager", "local", "--host", "127.0.0.1", "--port", "{port}")
    litserve = str(FOLDER / "with_litserve.py")
    alone = ("{port}", "{field}")
    return {
        OURS: Rival(["-m", f"{package}.serve", "serving.port={port}", *settings]),
        "the pattern's server": Rival([str(FOLDER / "pattern.py"), *alone]),
        "LitServe, batch_timeout 5 ms": Rival([litserve, "{port}", "0.005"]),
        "LitServe, batch_timeout 0": Rival([litserve, "{port}", "0"]),
        "BentoML": Rival(
            [*bento, "--host", "127.0.0.1", "--port", "{port}"],
            body=lambda request: {"inputs": [request]},
        ),
        "mlflow models serve": Rival(
            [*mlflow, *local],
            path="/invocations",
            body=lambda request: {"inputs": [request]},
            prepare=_save_for_mlflow,
        ),
        "a FastAPI route that does nothing": Rival([str(FOLDER / "nothing.py"), *alone]),
    }


def environment() -> dict[str, str]:
    """Return the environment of a server: one thread, no telemetry, the project's package."""
    paths = [str(Path("src").resolve()), str(FOLDER.parent)]
    quiet = {"BENTOML_DO_NOT_TRACK": "True", "MLFLOW_DISABLE_TELEMETRY": "true"}
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return os.environ | one_thread | quiet | {"PYTHONPATH": os.pathsep.join(paths)}


def _save_for_mlflow(folder: str) -> None:
    code = "import mlflow, sys; mlflow.pyfunc.save_model(sys.argv[1], python_model=sys.argv[2])"
    command = [sys.executable, "-c", code, f"{folder}/model", str(FOLDER / "with_mlflow.py")]
    subprocess.run(command, env=environment(), check=True, capture_output=True)
