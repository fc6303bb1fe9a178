"""deploy/kubernetes/grafana.json, which projects with deployment=kubernetes have."""

import json
import re
from functools import partial
from pathlib import Path

import httpx2
import pytest
from miniature import CONFIGS
from toy_project.models.bundle import Bundle
from toy_project.serving.engine import Engine
from toy_project.serving.predictor import Predictor
from toy_project.serving.source import Source

from ..conftest import has
from .conftest import compose, running, wait_until_ready

DASHBOARD = CONFIGS.parent / "deploy" / "kubernetes" / "grafana.json"
NAME = r"\b([a-z]+(?:_[a-z]+)+)\b(?=[{\[])"
"""A name of several words before a selector or a range."""


@pytest.mark.skipif(not DASHBOARD.exists(), reason="deployment is not kubernetes")
def test_the_dashboard_asks_for_metrics_and_labels_that_the_server_has(bundle, config, tmp_path):
    prepare = partial(observed, bundle=bundle, folder=tmp_path)
    with running(lambda: Predictor(bundle), config, prepare) as client:
        wait_until_ready(client)
        assert_queries_have_answers(client)


def observed(engine: Engine, bundle: Bundle, folder: Path) -> None:
    """Compare a challenger, and if the project has monitoring, tell what a report says."""
    from toy_project.deployment.shadow import Shadow

    Shadow(Source(lambda: Predictor(bundle)), engine, share=1.0)
    if has("monitoring"):
        from toy_project.monitoring.observer import observe

        summary = {"timestamp": 0.0, "model_version": "1", "num_alerts": 0, "psi": {"x": 0.1}}
        (folder / "summary.json").write_text(json.dumps(summary))
        observe(engine, compose(f"monitoring.folder={folder}"))


def assert_queries_have_answers(client: httpx2.Client) -> None:
    client.post("/predict", json={})
    exposed = ""
    while 'shadow_inputs_total{outcome="agreed"}' not in exposed:  # the challenger is being loaded
        client.post("/predict", json={"text": "a"})
        exposed = client.get("/metrics").text
    panels = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    asked = {name for query in queries for name in re.findall(NAME, query)}
    families = re.findall(r"^# TYPE (\w+?)(?:_total)?(?<!_created) ", exposed, re.MULTILINE)
    assert [one for one in families if not any(name.startswith(one) for name in asked)] == []
    for query in queries:
        names = set(re.findall(NAME, query))
        assert names, query
        for name in names:
            series = re.findall(rf"^{name}(?:{{(.*)}})? ", exposed, flags=re.MULTILINE)
            assert series, f"{name} of {query}"
            labels = set(re.findall(r"(\w+)=", series[0]))
            selected = re.findall(rf"{name}{{(\w+)=", query)
            grouped = re.findall(r"by \(([\w, ]+)\)", query)
            assert labels >= {*selected, *(one for by in grouped for one in by.split(", "))}, query
