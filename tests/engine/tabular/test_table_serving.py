"""Tables over HTTP: the columns of the bundle, and bodies that nobody should send."""

import json
from collections.abc import Generator
from datetime import date, timedelta

import httpx2
import pytest
from toy_project.data.spec import DataSpec
from toy_project.data.table import TableEncoder, TableEncoderConfig
from toy_project.models.base import build_model
from toy_project.models.bundle import Bundle
from toy_project.objectives.regression import Regression, RegressionConfig
from toy_project.serving.predictor import Predictor

from ..conftest import bundle_of
from ..serving.conftest import ServingConfig, assert_refused, running, wait_until_ready

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside the server

ROWS = [
    {"age": 20.0 + i, "color": "red" if i % 2 else "blue", "since": date(2020, 1, 1 + i % 28)}
    | {"is it": i % 3 == 0, "model_config": None if i % 5 else 1.0}
    for i in range(50)
]
HOSTILE = [
    *('{"features": null}', '{"features": []}', '{"features": {"age": "20"}}'),
    *('{"features": {"age": NaN}}', '{"features": {"age": 1e999}}', '{"features": {"age": true}}'),
    *('{"features": {"size": 1}}', '{"features": {"since": "2020-13-01"}}'),
    *('{"features": {"is it": 1}}', '{"features": {"color": []}}', '{"features": ' * 10_000),
    json.dumps({"features": {f"k{number}": 1 for number in range(100_000)}}),
]


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    """An untrained model of a table with a column of each type."""
    objective = Regression.fit([{"target": 1.0}, {"target": 2.0}], RegressionConfig())
    spec = DataSpec(TableEncoder.fit(ROWS, TableEncoderConfig()), objective)
    model = build_model({"name": "feature_mlp", "hidden_size": 16}, spec)
    return bundle_of(model, spec, exports=True)


@pytest.fixture(scope="module")
def client(bundle: Bundle) -> Generator[httpx2.Client]:
    """A client of a server of the model."""
    with running(lambda: Predictor(bundle), ServingConfig(docs=True)) as client:
        wait_until_ready(client)
        yield client


def predicted(client: httpx2.Client, features: dict) -> float:
    answer = client.post("/predict", json={"features": features})
    assert answer.status_code == 200, answer.text
    return answer.json()["prediction"]


def test_rows_of_every_type_are_predicted_as_without_a_server(client, bundle):
    bodies = [{"features": {**row, "since": str(row["since"])}} for row in ROWS]
    answers = client.post("/predict/batch", json={"inputs": bodies}).json()["predictions"]
    expected = Predictor(bundle).predict(ROWS)
    assert [answer["prediction"] for answer in answers] == [
        pytest.approx(one.prediction, abs=1e-4) for one in expected
    ]


def test_missing_values_and_new_categories_have_an_answer(client):
    nothing = predicted(client, {})
    assert predicted(client, dict.fromkeys(ROWS[0])) == nothing
    predicted(client, {"color": "green"})


def test_a_category_can_be_of_any_type_of_json(client):
    nothing_known = predicted(client, {"color": "green"})
    for color in (True, 1, 1.0, "1"):
        assert predicted(client, {"color": color}) == nothing_known


@pytest.mark.parametrize("number", [1e300, -1e300, 1e39, 5e-324])
def test_numbers_far_from_training_have_a_finite_answer(client, number):
    predicted(client, {"age": number, "model_config": -number})
    days = (date.max - date.min).days
    predicted(client, {"since": (date.min + timedelta(days=days * (number > 0))).isoformat()})


def test_no_body_makes_the_server_fail(client):
    assert_refused(client, HOSTILE)
    predicted(client, {})


def test_the_documentation_has_the_columns_and_their_ranges(client):
    document = client.get("/openapi.json")
    if document.status_code == 404:
        document = client.get("/docs.json")
    schemas = document.json()["components"]["schemas"]
    columns = schemas["Features"]["properties"]
    assert columns.keys() == ROWS[0].keys()
    assert {"type": "null"} in columns["age"]["anyOf"]
    assert "in training 20 to 69" in json.dumps(columns["age"])
    assert "known: blue, red" in json.dumps(columns["color"])
