"""What is answered for each objective, whatever the inputs are."""

import json
from collections.abc import Generator
from typing import Any

import httpx2
import pytest
from toy_project.data.spec import DataSpec
from toy_project.data.text import TextEncoder, TextEncoderConfig
from toy_project.models.base import build_model
from toy_project.models.bundle import Bundle
from toy_project.objectives.base import objective_class, objective_settings
from toy_project.serving.config import ServingConfig
from toy_project.serving.predictor import Predictor

from ..conftest import SMALL, bundle_of
from .conftest import assert_refused, running, wait_until_ready

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside the server

TARGETS = {
    "regression": [{"target": 1.5}, {"target": -3}],
    "regression of two": [{"target": {"height": i, "weight": -i}} for i in range(4)],
    "multilabel": [{"labels": ["a", "b"]}, {"labels": ["c"]}, {"labels": []}],
    "multilabel of columns": [{"labels": {"a": i % 2, "b": 1 - i % 2}} for i in range(4)],
}
HOSTILE = [
    *('{"text": null}', '{"text": 1e999}', '{"text": NaN}', '{"text": ["a"]}'),
    *('{"text": {"a": "a"}}', '{"text": "\\ud800"}'),
    *('{"target": 1}', '{"text": "a", "labels": []}', '{"inputs": [{"text": "a"}, {}]}'),
    json.dumps({f"k{number}": number for number in range(20_000)}),
    json.dumps({"text": "a" * 100_000}),
]
GOOD = ["\0", "\u202e\ufeff", "👩‍👩‍👧‍👦" * 100, "=1+1", "<script>", "e" + "\u0301" * 900]


@pytest.fixture(params=TARGETS, ids=lambda name: name.replace(" ", "-"))
def objective(request: pytest.FixtureRequest) -> Any:
    """An objective, fitted to a few rows."""
    name = request.param.partition(" ")[0]
    settings = objective_settings({"name": name})
    return objective_class(name).fit(TARGETS[request.param], settings)


@pytest.fixture
def bundle(objective: Any) -> Bundle:
    """An untrained model of texts with the objective."""
    encoder = TextEncoder.fit([{"text": "a b c"}], TextEncoderConfig(min_count=1))
    spec = DataSpec(encoder, objective)
    return bundle_of(build_model(SMALL, spec), spec)


@pytest.fixture
def client(bundle: Bundle, config: ServingConfig) -> Generator[httpx2.Client]:
    """A client of a server of the model."""
    with running(lambda: Predictor(bundle), config) as client:
        wait_until_ready(client)
        yield client


def test_the_answers_are_those_of_the_objective(client, bundle):
    texts = ["a b", "c", "unknown"]
    batch = client.post("/predict/batch", json={"inputs": [{"text": text} for text in texts]})
    expected = Predictor(bundle).predict([{"text": text} for text in texts])
    for text, prediction, in_batch in zip(
        texts, expected, batch.json()["predictions"], strict=True
    ):
        answer = client.post("/predict", json={"text": text}).json()
        assert answer.pop("model_version") == in_batch.pop("model_version") == bundle.version
        assert answer.keys() == in_batch.keys() == set(prediction._fields)
        for name, value in prediction._asdict().items():
            close = value if isinstance(value, list) else pytest.approx(value, abs=1e-4)
            assert answer[name] == close
            assert in_batch[name] == close


def test_there_are_no_other_confidences_than_those(client):
    plain, detailed = (
        client.post("/predict", params=params, json={"text": "a b"}).json()
        for params in ({}, {"confidences": "true"})
    )
    assert detailed == plain


def test_no_body_makes_the_server_fail(client):
    assert_refused(client, HOSTILE)
    for text in GOOD:
        assert client.post("/predict", json={"text": text}).status_code == 200
