from threading import Event

from .conftest import running, wait_until_ready


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
    answer = document["components"]["schemas"]["PredictResponse"]["properties"]
    assert answer["confidence"]["type"] == "number"


def test_the_documentation_names_the_limits(client):
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert schemas["PredictRequest"]["properties"]["text"]["maxLength"] == 1000
    assert schemas["BatchRequest"]["properties"]["inputs"]["maxItems"] == 32


def test_the_documentation_names_the_content_type_of_the_metrics(client):
    answers = client.get("/openapi.json").json()["paths"]["/metrics"]["get"]["responses"]
    assert list(answers["200"]["content"]) == [client.get("/metrics").headers["Content-Type"]]
