"""The rendered project's Dockerfiles, held against hadolint's rules; nobody builds them here."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Render


@pytest.mark.parametrize(
    ("answers", "dockerfile"),
    [
        ({}, "Dockerfile"),
        ({"python_version": "3.13"}, "Dockerfile"),
        ({"orchestration": "kubeflow", "serving": "none"}, "pipelines/Dockerfile"),
        ({"deployment": "kubernetes"}, "deploy/train.Dockerfile"),
    ],
)
def test_hadolint_finds_nothing(answers: dict[str, str], dockerfile: str, render: Render) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    command = [str(hadolint), dockerfile]
    done = subprocess.run(command, cwd=render(**answers), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
