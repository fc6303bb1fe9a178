"""Requests that were read by one version of the model, while another takes its place."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pytest
from toy_project.objectives.regression import Regression

from .conftest import running, wait_until_ready
from .test_swap import INTERVAL_S, ROWS, BusyPredictor, of_numbers, source_of, until

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside the server


class FailingPredictor(BusyPredictor):
    """As that one, but fails if it is of numbers."""

    def predict(self, rows):
        predictions = super().predict(rows)
        if self.is_warm and isinstance(self.spec.objective, Regression):
            raise RuntimeError("the model is broken")
        return predictions


def answers_across_a_swap(kind, bundle, bundle_folder, config) -> tuple[list, list]:
    """Return what is answered to requests that wait together and were read by two versions: to
    three that the bundle's read, and to three that a regression's read.
    """
    regression = of_numbers(bundle)
    quick = replace(config, watch_interval_s=INTERVAL_S)
    kind.may_go_on.clear()
    with running(source_of(bundle_folder, kind), quick) as client, ThreadPoolExecutor(6) as pool:
        wait_until_ready(client)
        post = partial(client.post, "/predict", json=ROWS[0])
        of_old = [pool.submit(post) for _ in range(3)]
        until(lambda: "batch_size_count 1.0" in client.get("/metrics").text)
        regression.save(bundle_folder)
        until(lambda: client.get("/model").json()["model_version"] == regression.version)
        of_new = [pool.submit(post) for _ in range(3)]
        time.sleep(0.2)
        kind.may_go_on.set()
        return [one.result() for one in of_old], [one.result() for one in of_new]


def test_each_request_is_answered_by_the_version_that_read_it(bundle, bundle_folder, config):
    of_old, of_new = answers_across_a_swap(BusyPredictor, bundle, bundle_folder, config)
    assert [{*one.json()} for one in of_old] == [{"prediction", "confidence", "model_version"}] * 3
    assert [{*one.json()} for one in of_new] == [{"prediction", "model_version"}] * 3


def test_a_version_that_fails_fails_no_request_of_another(bundle, bundle_folder, config, caplog):
    of_old, of_new = answers_across_a_swap(FailingPredictor, bundle, bundle_folder, config)
    assert [one.json()["model_version"] for one in of_old] == [bundle.version] * 3
    assert [one.json() for one in of_new] == [
        {"type": "about:blank", "title": "Internal Server Error", "status": 500, "detail": detail}
        for detail in ["Internal Server Error"] * 3
    ]
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert errors
    assert all("the model is broken" in str(one.exc_info) for one in errors)
