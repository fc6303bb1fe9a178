"""A project that tracks with Weights & Biases, without an account and without a network."""

import re
from pathlib import Path

import pytest
from conftest import Render, Run, inside

from demo import post, server

pytestmark = pytest.mark.slow

NO_KEY = (
    "error: there is no key for Weights & Biases: "
    "run `wandb login`, set WANDB_API_KEY, or record offline with WANDB_MODE=offline"
)


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs this has never logged in."""
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))


@pytest.mark.usefixtures("nobody")
def test_the_whole_way_offline(
    render: Render, project_env: Path, run_in: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = render(with_git=True, tracking="wandb")
    for stage in ("fetch", "preprocess"):
        run_in(project, "make", stage)

    train = ("make", "train", "ARGS=training=smoke")
    refused = run_in(project, *train, code=2)
    assert refused.stderr.splitlines()[0] == NO_KEY
    assert not (project / "models").exists()
    assert not (project / "wandb").exists()

    monkeypatch.setenv("WANDB_MODE", "offline")
    lines = run_in(project, *train).stderr.splitlines()
    assert [line.split()[0] for line in lines] == ["epoch", "models/bundle:"]
    run_in(project, "make", "evaluate")
    register = ("make", "register", "ARGS=registry.threshold=0")
    champion = "toy-project is now the champion: version v0"
    assert run_in(project, *register).stderr.splitlines() == [champion]
    assert len(list(project.glob("wandb/offline-run-*"))) == 3

    serving = project / "configs" / "serving" / "fastapi.yaml"
    serving.write_text(serving.read_text().replace("models/bundle", "champion"))
    with server(project, env=inside(project, project_env)) as url:
        answer = post(f"{url}/predict", {"text": "Open a socket and wait for a connection."})
    assert answer["model_version"] == "v0"

    # A run that was killed leaves a recording with nothing in it. Without a key none is sent.
    empty = project / "wandb" / "offline-run-20260101_000000-killed" / "run-killed.wandb"
    empty.parent.mkdir()
    empty.write_bytes(b":W&B\xbe\xe7\x00")
    sync = run_in(project, "make", "ui", code=2).stderr
    assert "No API key configured. Use `wandb login` to log in." in sync
    assert len(re.findall(r"offline-run-\S+\.wandb", sync)) == 3
