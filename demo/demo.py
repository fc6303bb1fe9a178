"""Create a project in demo/scratch/, then train, register, serve and predict.

python demo/demo.py [text|image|tabular]
"""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jinja2
import packaging.version
import rich.prompt

SCRATCH = Path(__file__).parent / "scratch"
PROJECTS = {"text": "docstring-topics", "image": "handwritten-digits", "tabular": "breast-cancer"}
READY_WITHIN_S = 180

# Docstrings that the model has not seen: it is trained on the standard library's.
TEXTS = [
    jinja2.FileSystemLoader.__doc__,
    packaging.version.Version.__doc__,
    rich.prompt.Prompt.__doc__,
]

# The test split is read with the project's libraries; ours has none that reads Parquet.
TEST_ROWS = """
import base64, json
import pyarrow.parquet as pq
rows = pq.read_table("data/processed/test.parquet").slice(0, 3).to_pylist()
for row in rows:
    row["shown"] = f"a row of {row['label']}"
    if "image" in row:
        row["image"] = base64.b64encode(row["image"]).decode()
    others = ("label", "labels", "shown", "image", "target")
    row["row"] = {k: v for k, v in row.items() if k not in others and k[0] != "_"}
print(json.dumps(rows, default=str))
"""

# Variables that an outer make passes to inner ones, such as our ARGS.
OF_MAKE = {"ARGS", "MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS"}
UV_CONFIG = Path(__file__).with_name("uv.toml").resolve()
# uv reads one file of settings: one that the user has set takes precedence over ours.
ENV = {"UV_CONFIG_FILE": str(UV_CONFIG)} | {
    name: value for name, value in os.environ.items() if name not in OF_MAKE
}


def main() -> None:
    """Run the demo; a step that fails ends it with that step's exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("modality", nargs="?", choices=PROJECTS, default="text")
    modality = parser.parse_args().modality
    project = SCRATCH / PROJECTS[modality]
    shutil.rmtree(project, ignore_errors=True)
    answers = ("--defaults", "-d", f"modality={modality}")
    step(sys.executable, "-m", "mlscaffold", "new", str(project), *answers, cwd=Path.cwd())
    for target in ("setup", "repro", "register"):
        step("make", target, cwd=project)
    with server(project, env=ENV) as url:
        for shown, request in requests(modality, project):
            print_prediction(shown, answer=post(f"{url}/predict", request))
    print_metrics(json.loads((project / "reports" / "metrics.json").read_text()))
    print(f"\nSee the tracked runs in MLflow:\n  cd {os.path.relpath(project)} && make ui")


def requests(modality: str, project: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return three requests, each with what it shows: rows that the model was not trained on."""
    if modality == "text":
        return [(text, {"text": text.strip()}) for text in TEXTS if text]
    done = subprocess.run(
        [project / ".venv" / "bin" / "python", "-c", TEST_ROWS],
        cwd=project, env=ENV, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return [
        (row["shown"], {"image": row["image"]} if modality == "image" else {"features": row["row"]})
        for row in json.loads(done.stdout)
    ]


def step(*command: str, cwd: Path) -> None:
    """Run a command in the project, after a line that shows it."""
    print(f"\n$ {' '.join(command)}", flush=True)
    done = subprocess.run(command, cwd=cwd, env=ENV)
    if done.returncode:
        sys.exit(done.returncode)


@contextmanager
def server(project: Path, *, env: Mapping[str, str]) -> Generator[str]:
    """Yield the URL of the project's server, which is stopped when the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["make", "serve", f"ARGS=serving.port={port}"]
    print(f"\n$ {' '.join(command)}", flush=True)
    log = project.with_name("server.log")
    with log.open("wb") as lines:
        process = subprocess.Popen(
            command, cwd=project, env=env, stdout=lines, stderr=lines, start_new_session=True
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url, process, log=log)
        yield url
    finally:
        stop(process)


def wait_until_ready(url: str, process: subprocess.Popen[bytes], *, log: Path) -> None:
    """Return when the server has a model; exit if it ended or took too long."""
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/ready", timeout=5).close()
            return
        except OSError:
            time.sleep(0.5)
    sys.exit(f"the server was not ready within {READY_WITHIN_S} s:\n{log.read_text()}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop make and its server as a process group, since make does not forward signals."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def post(url: str, document: dict[str, Any]) -> dict[str, Any]:
    """Return the server's answer to a JSON document."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(document).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def print_prediction(text: str, *, answer: dict[str, Any]) -> None:
    """Print the text's beginning and what the model says of it."""
    beginning = " ".join(text.split())[:70]
    print(f"\n  {beginning!r}\n  -> {answer['prediction']} ({answer['confidence']:.0%} sure)")


def print_metrics(metrics: dict[str, Any]) -> None:
    """Print the model's scores on the test split above those of its baselines."""
    print(f"\n{'on the test split':28}{'accuracy':>10}{'macro F1':>10}")
    for name, scores in {"this model": metrics, **metrics["baselines"]}.items():
        print(f"{name:28}{scores['accuracy']:>10.3f}{scores['macro_f1']:>10.3f}")


if __name__ == "__main__":
    main()
