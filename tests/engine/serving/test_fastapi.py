from dataclasses import replace
from threading import Event

import jsonschema
import pytest

from .conftest import running, wait_until_ready
from .test_swap import of_numbers, source_of, until


def test_the_documentation_is_complete_once_the_model_is_loaded(predictor, config):
    may_load = Event()

    def load():
        assert may_load.wait(timeout=10)
        return predictor

    with running(load, config) as client:
        assert {"/health", "/model"} < client.get("/openapi.json").json()["paths"].keys()
        may_load.set()
        wait_until_ready(client)
        document = client.get("/openapi.json").json()
    for path, one in (("/predict", "Predict"), ("/predict/batch", "Batch")):
        operation = document["paths"][path]["post"]
        named = operation["requestBody"], operation["responses"]["200"]
        for part, what in zip(named, ("Request", "Response"), strict=True):
            schema = part["content"]["application/json"]["schema"]
            assert schema == {"$ref": f"#/components/schemas/{one}{what}"}
        [parameter] = operation["parameters"]
        assert (parameter["name"], parameter["in"]) == ("confidences", "query")
        assert (parameter["required"], parameter["schema"]["type"]) == (False, "boolean")
    answer = document["components"]["schemas"]["PredictResponse"]
    assert answer["properties"]["confidence"]["type"] == "number"
    assert answer["required"] == ["prediction", "confidence", "model_version"]


def test_the_documentation_is_of_the_model_that_is_served(bundle, bundle_folder, config):
    def fields() -> set[str]:
        schemas = client.get("/openapi.json").json()["components"]["schemas"]
        return set(schemas["PredictResponse"]["properties"])

    quick = replace(config, watch_interval_s=0.05)
    with running(source_of(bundle_folder), quick) as client:
        wait_until_ready(client)
        assert fields() == {"prediction", "confidence", "confidences", "model_version"}
        of_numbers(bundle).save(bundle_folder)
        until(lambda: fields() == {"prediction", "model_version"})


def test_the_documentation_names_the_limits(client):
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert schemas["PredictRequest"]["properties"]["text"]["maxLength"] == 1000
    assert schemas["BatchRequest"]["properties"]["inputs"]["maxItems"] == 32


def test_the_documentation_names_the_content_type_of_the_metrics(client):
    answers = client.get("/openapi.json").json()["paths"]["/metrics"]["get"]["responses"]
    assert list(answers["200"]["content"]) == [client.get("/metrics").headers["Content-Type"]]


@pytest.mark.parametrize(
    ("path", "body"),
    [("/predict", {"text": "a"}), ("/predict/batch", {"inputs": [{"text": "a"}] * 3})],
)
@pytest.mark.parametrize("confidences", [False, True])
def test_the_documentation_describes_the_answers(client, path, body, confidences):
    """FastAPI writes it, and does not answer itself."""
    document = client.get("/openapi.json").json()
    described = document["paths"][path]["post"]["responses"]["200"]
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        schema["additionalProperties"] = False  # nothing is undocumented
        schema["required"] = list(schema["properties"])
    if not confidences:
        schemas["PredictResponse"]["required"].remove("confidences")
        del schemas["PredictResponse"]["properties"]["confidences"]
    answer = client.post(path, params={"confidences": confidences}, json=body)
    assert answer.status_code == 200
    [(content_type, content)] = described["content"].items()
    assert answer.headers["Content-Type"] == content_type
    jsonschema.validate(answer.json(), {**content["schema"], "components": document["components"]})


@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
def test_predictions_are_posted(client, path):
    answer = client.get(path)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


def test_the_documentation_tells_the_format_of_errors(client):
    document = client.get("/openapi.json").json()
    problem = client.post("/predict", json={})
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["responses"].keys() == {"200", "default"}, path
            [(kind, content)] = operation["responses"]["default"]["content"].items()
            assert kind == problem.headers["Content-Type"]
            assert set(content["schema"]["required"]) == problem.json().keys() - {"errors"}
