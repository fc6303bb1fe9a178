def test_the_documentation_names_the_limits(client):
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert schemas["PredictRequest"]["properties"]["text"]["maxLength"] == 1000
    assert schemas["BatchRequest"]["properties"]["inputs"]["maxItems"] == 32


def test_the_documentation_names_the_content_type_of_the_metrics(client):
    answers = client.get("/openapi.json").json()["paths"]["/metrics"]["get"]["responses"]
    assert list(answers["200"]["content"]) == [client.get("/metrics").headers["Content-Type"]]
