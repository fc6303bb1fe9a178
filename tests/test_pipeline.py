"""One real run from data to a served champion, by the commands a newcomer types."""

import json
from pathlib import Path

from conftest import Run
from serving import get, post, served


def test_setup_repro_register_serve_predict(project: Path, project_env: Path, run_in: Run) -> None:
    run_in(project, "make", "repro", timeout_s=900)
    metrics = json.loads((project / "reports" / "metrics.json").read_text())
    baselines = metrics["baselines"]
    assert metrics["accuracy"] > baselines["majority"]["accuracy"]
    assert baselines["tfidf_logistic_regression"]["macro_f1"] > baselines["majority"]["macro_f1"]

    again = run_in(project, "make", "repro")
    assert "Running stage" not in again.stdout + again.stderr

    run_in(project, "make", "register")
    with served(project, project_env) as url:
        assert get(f"{url}/health") == {"status": "healthy", "model_loaded": True}
        texts = ["Open a socket and listen.", "Return the median of numeric data."]
        answers = [post(f"{url}/predict", {"text": text}) for text in texts]
        batch = post(f"{url}/predict/batch", {"inputs": texts})
        assert len(batch["predictions"]) == 2
    assert all(set(one) == {"prediction", "confidence", "model_version"} for one in answers)
