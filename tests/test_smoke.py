"""Generate, train the toy configuration in seconds, predict."""

from pathlib import Path

from conftest import Run, inside

from demo import post, server


def test_generate_train_smoke_and_predict(project: Path, project_env: Path, run_in: Run) -> None:
    for stage in ("fetch", "preprocess"):
        run_in(project, "make", stage)
    run_in(project, "make", "train", "ARGS=training=smoke", timeout_s=120)
    with server(project, env=inside(project, project_env)) as url:
        answer = post(f"{url}/predict", {"text": "Open a socket and wait for a connection."})
    assert set(answer) == {"prediction", "confidence", "model_version"}
    assert 0 < answer["confidence"] <= 1
