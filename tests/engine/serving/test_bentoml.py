import bentoml
import pytest
from toy_project.errors import ProjectError

from .conftest import running, wait_until_ready

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside the server


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_the_probes_of_a_bento(client, path):
    assert client.get(path).status_code == 200


def test_a_server_that_stops_is_not_ready(predictor, config):
    engines = []
    with running(lambda: predictor, config, engines.append) as client:
        wait_until_ready(client)
        engines[0].is_stopping = True
        assert [client.get(path).status_code for path in ("/livez", "/readyz")] == [200, 503]


def test_a_model_that_cannot_be_loaded_ends_in_failing_probes(config, caplog):
    def load():
        raise ProjectError("the bundle is damaged")

    with running(load, config) as client:
        while client.get("/livez").status_code == 200:
            pass
        assert client.get("/readyz").status_code == 503
        assert client.get("/ready").json()["detail"] == "the model cannot be loaded"
    assert caplog.messages == ["error: the bundle is damaged"]


def test_the_documentation_names_the_limits(client):
    schemas = client.get("/docs.json").json()["components"]["schemas"]
    assert schemas["PredictRequest"]["properties"]["text"]["maxLength"] == 1000
    assert schemas["BatchRequest"]["properties"]["inputs"]["maxItems"] == 32
    assert schemas["PredictResponse"]["properties"]["confidence"]["type"] == "number"


def test_the_client_of_bentoml_reads_the_schema_and_predicts(client):
    with bentoml.SyncHTTPClient(str(client.base_url)) as remote:
        assert remote.predict(text="a").keys() == {"prediction", "confidence", "model_version"}
        assert len(remote.predict_batch(inputs=[{"text": "a"}] * 3)["predictions"]) == 3
