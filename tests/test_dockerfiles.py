"""The rendered project's Dockerfiles: hadolint's rules, and their commands run without Docker."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import yaml
from conftest import Render


@pytest.mark.parametrize(
    ("answers", "dockerfile"),
    [
        ({}, "Dockerfile"),
        ({"python_version": "3.13"}, "Dockerfile"),
        ({"orchestration": "kubeflow", "serving": "none"}, "pipelines/Dockerfile"),
        ({"deployment": "kubernetes"}, "deploy/train.Dockerfile"),
        ({"monitoring": "drift"}, "Dockerfile"),
    ],
)
def test_hadolint_finds_nothing(answers: dict[str, str], dockerfile: str, render: Render) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    command = [str(hadolint), dockerfile]
    done = subprocess.run(command, cwd=render(**answers), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def instructions(dockerfile: Path) -> Iterator[tuple[str, str]]:
    """Yield each instruction of a Dockerfile with its arguments."""
    for line in dockerfile.read_text().replace("\\\n", " ").splitlines():
        if line and not line.startswith("#"):
            name, _, arguments = line.partition(" ")
            yield name, arguments.strip()


def test_the_user_of_the_image_may_write_the_prediction_log(render: Render) -> None:
    project = render(monitoring="drift")
    settings = yaml.safe_load((project / "configs/monitoring/drift.yaml").read_text())
    lines = list(instructions(project / "Dockerfile"))
    made = lines.index(("RUN", f"install --directory --owner=app {settings['folder']}"))
    assert ("WORKDIR", "/app") in lines[:made] and ("USER", "10001") in lines[made:]


def image_of(project: Path, folder: Path) -> tuple[Path, dict[str, list[str]]]:
    """Do what a Dockerfile says, each stage in a folder; return the last, and its commands.

    Python is this machine's, and nothing is installed for all users.
    """
    stages, commands = {"build": folder / "build"}, {}
    here = stages["build"]
    for name, arguments in instructions(project / "Dockerfile"):
        if name == "FROM":
            here = stages["build"] if "AS build" in arguments else folder / "image"
            here.mkdir()
        elif name == "COPY":
            *sources, target = arguments.removeprefix("--from=build ").split()
            origin = stages["build"] if arguments.startswith("--from") else project
            for source in (origin / one.removeprefix("/app/") for one in sources):
                place = here / target / (source.name if target == "./" else "")
                if source.is_dir():
                    shutil.copytree(source, place, symlinks=True)
                else:
                    shutil.copy(source, place)
        elif name == "RUN" and arguments.startswith("uv sync"):
            command = arguments.split()
            python = {
                "UV_PYTHON": "3.11",
                "UV_PROJECT_ENVIRONMENT": ".venv",
                "UV_COMPILE_BYTECODE": "1",
            }
            environment = {k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"}
            subprocess.run(command, cwd=here, check=True, env=environment | python)
        elif name in ("CMD", "HEALTHCHECK"):
            commands[name] = json.loads(arguments[arguments.index("[") :])
    return folder / "image", commands


@pytest.mark.nightly
def test_the_image_serves_without_pytorch_and_writes_nothing(
    render: Render, project_env: Path, tmp_path: Path
) -> None:
    project = shutil.copytree(render(python_version="3.11"), tmp_path / "project")
    what = "'text', 'classification', exports=True"
    save = f"import untrained as u; u.save(u.Path('models/bundle'), {what})"
    paths = {"PYTHONPATH": f"{project / 'src'}:{Path(__file__).parent}"}
    python = str(project_env / "bin/python")
    subprocess.run([python, "-c", save], cwd=project, check=True, env=os.environ | paths)
    subprocess.run(["uv", "lock", "--quiet"], cwd=project, check=True)
    image, commands = image_of(project, tmp_path)
    packages = image / ".venv/lib/python3.11/site-packages"
    left_out = ("torch", "dvc", "mlflow", "sklearn", "matplotlib", "pyarrow")
    assert [name for name in left_out if (packages / name).exists()] == []

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    here = {"8000": port, "0.0.0.0": "127.0.0.1", "python": str(image / ".venv/bin/python")}
    serve, check = (_replaced(commands[name], here) for name in ("CMD", "HEALTHCHECK"))
    bare = {"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    before = sorted(image.rglob("*"))
    started = time.monotonic()
    with subprocess.Popen(serve, cwd=image, env=bare) as server:
        try:
            while subprocess.run(check, cwd=image, env=bare, stderr=subprocess.DEVNULL).returncode:
                assert server.poll() is None
            url = f"http://127.0.0.1:{port}/predict"
            answer = _answer(url, {"text": "open a socket"}, until=started + 60)
            print(f"first answer after {time.monotonic() - started:.1f} s")
            assert answer["prediction"] in ("cat", "dog", "eel")
        finally:
            server.terminate()
    assert sorted(image.rglob("*")) == before


def _replaced(command: list[str], values: dict[str, str]) -> list[str]:
    [program, *rest] = command
    for old, new in values.items():
        rest = [one.replace(old, new) if old != "python" else one for one in rest]
    return [values[program], *rest]


def _answer(url: str, document: dict[str, str], *, until: float) -> dict[str, str]:
    """Return the answer to a request, which is repeated while the model is being loaded."""
    body, headers = json.dumps(document).encode(), {"Content-Type": "application/json"}
    while True:
        try:
            with urlopen(Request(url, body, headers)) as answer:
                return json.load(answer)
        except HTTPError as error:
            assert error.code == 503 and time.monotonic() < until
