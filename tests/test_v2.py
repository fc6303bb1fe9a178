"""The Open Inference Protocol, spoken by the client that Triton's users have."""

import json
import urllib.error
import urllib.request
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from served import BUSY, MODALITIES, OBJECTIVES, Urls

from demo import post

pytestmark = pytest.mark.slow

MODEL = "toy_project"
TEXTS = ["open a socket", "sort a list"]
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 8, 8)).astype(np.float32)
COLUMNS = {
    "age": np.array([31.5, np.nan], np.float32),
    "colour": np.array(["red", "green"], object),
    "is it": np.array([True, False]),
}
FEATURES = [{"age": 31.5, "colour": "red", "is it": True}, {"colour": "green", "is it": False}]
ROWS: dict[str, tuple[dict[str, np.ndarray], list[Any]]] = {
    "text": ({"text": np.array(TEXTS, object)}, [{"text": text} for text in TEXTS]),
    "image": ({"pixels": PIXELS}, [{"pixels": pixels} for pixels in PIXELS.tolist()]),
    "tabular": (COLUMNS, [{"features": row} for row in FEATURES]),
}


def client_of(url: str) -> triton.InferenceServerClient:
    """Return Triton's client."""
    return triton.InferenceServerClient(url.removeprefix("http://"))


def infer(url: str, tensors: dict[str, np.ndarray], **options: Any) -> triton.InferResult:
    """Return the result for tensors."""
    datatypes = {np.dtype(np.float32): "FP32", np.dtype(bool): "BOOL", np.dtype(object): "BYTES"}
    inputs = []
    for name, values in tensors.items():
        tensor = triton.InferInput(name, list(values.shape), datatypes[values.dtype])
        inputs.append(tensor.set_data_from_numpy(values, binary_data=False))
    return client_of(url).infer(MODEL, inputs, **options)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("modality", MODALITIES)
def test_a_client_of_triton_gets_the_answers_of_the_own_endpoint(
    served: Urls, modality: str, objective: str
) -> None:
    url, (tensors, requests) = served[modality, objective], ROWS[modality]
    result = infer(url, tensors, request_id="7")
    response = result.get_response()
    assert (response["model_name"], response["id"]) == (MODEL, "7")
    expected = post(f"{url}/predict/batch", {"inputs": requests})["predictions"]
    assert response["model_version"] == expected[0]["model_version"]
    described = client_of(url).get_model_metadata(MODEL)["outputs"]
    assert [one["name"] for one in described] == [one["name"] for one in response["outputs"]]
    for i, answer in enumerate(expected):
        got = {one["name"]: result.as_numpy(one["name"])[i] for one in response["outputs"]}
        if objective == "multilabel":
            answer |= {f"confidences.{k}": v for k, v in answer.pop("confidences").items()}
            answer["prediction"] = json.dumps(answer["prediction"])
        assert got.keys() == answer.keys()
        for name, value in answer.items():
            exact = isinstance(value, str)
            assert got[name] == (value if exact else pytest.approx(value, abs=1e-5))


def test_a_client_asks_what_there_is(served: Urls) -> None:
    client = client_of(served["tabular", "regression"])
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(MODEL)
    assert client.get_server_metadata()["name"] == MODEL
    assert client.get_model_metadata(MODEL)["inputs"] == [
        {"name": "age", "datatype": "FP32", "shape": [-1]},
        {"name": "is it", "datatype": "BOOL", "shape": [-1]},
        {"name": "colour", "datatype": "BYTES", "shape": [-1]},
        {"name": "since", "datatype": "BYTES", "shape": [-1]},
    ]


def test_a_client_chooses_outputs(served: Urls) -> None:
    wanted = [triton.InferRequestedOutput("confidence", binary_data=False)]
    tensors = {"text": np.array([["open a socket"], ["sort a list"]], object)}
    result = infer(served["text", "classification"], tensors, outputs=wanted)
    assert [one["name"] for one in result.get_response()["outputs"]] == ["confidence"]


def test_a_client_names_the_version(served: Urls) -> None:
    client = client_of(served["text", "classification"])
    described = client.get_model_metadata(MODEL)
    [version] = described["versions"]
    assert client.get_model_metadata(MODEL, version) == described
    assert client.is_model_ready(MODEL, version)
    texts = {"text": np.array(TEXTS, object)}
    infer(served["text", "classification"], texts, model_version=version)
    with pytest.raises(triton.InferenceServerException, match=f"the only version is {version}"):
        infer(served["text", "classification"], texts, model_version="0")


def test_the_platform_is_what_computes_the_model(served: Urls) -> None:
    client = client_of(served["text", "classification"])
    assert client.get_model_metadata(MODEL)["platform"] == "torch"  # it was not exported


def test_what_cannot_be_answered_is_named(served: Urls) -> None:
    url, texts = served["text", "classification"], np.array(TEXTS, object)
    unknown = [triton.InferRequestedOutput("label", binary_data=False)]
    with pytest.raises(triton.InferenceServerException, match="the outputs are prediction, conf"):
        infer(url, {"text": texts}, outputs=unknown)
    binary = triton.InferInput("text", [2], "BYTES").set_data_from_numpy(texts)
    with pytest.raises(triton.InferenceServerException, match="binary_data=False"):
        client_of(url).infer(MODEL, [binary])
    with pytest.raises(triton.InferenceServerException, match="text has the datatype BYTES"):
        infer(url, {"text": np.array([1.0], np.float32)})


@pytest.mark.parametrize(
    ("modality", "tensors", "message"),
    [
        ("text", {"words": np.array(["a"], object)}, "the inputs are text"),
        ("text", {"text": np.array([""], object)}, "inputs.0.text: String should have at least 1"),
        ("text", {"text": np.array(["a"] * 65, object)}, "text has 65 rows; the most are 64"),
        ("image", {"pixels": PIXELS[0]}, "pixels must have the shape [8, -1, -1]"),
        ("image", {"pixels": PIXELS * 2}, "Input should be less than or equal to 255"),
        (
            "tabular",
            {"age": COLUMNS["age"], "is it": np.array([True])},
            "is it must have the shape [2]",
        ),
    ],
)
def test_an_error_has_the_form_of_the_protocol(
    served: Urls, modality: str, tensors: dict[str, np.ndarray], message: str
) -> None:
    with pytest.raises(triton.InferenceServerException) as failed:
        infer(served[modality, "classification"], tensors)
    assert failed.value.status() == "422"
    assert message in failed.value.message()


def test_no_body_makes_the_server_fail(served: Urls) -> None:
    url = f"{served['text', 'classification']}/v2/models/{MODEL}/infer"
    tensor = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a"]}
    bodies = [
        *(b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"inputs": []}'),
        *(
            json.dumps({"inputs": [tensor | changes]}).encode()
            for changes in (
                {"shape": []},
                {"shape": [-1]},
                {"shape": [2**31 - 1]},
                {"shape": [2**40, 0]},
                {"data": []},
                {"data": [["a"], ["b", "c"]]},
                {"data": [1]},
                {"data": None},
                {"shape": [1, 7]},
                {"shape": [2_000_000], "data": [1] * 2_000_000},
            )
        ),
        json.dumps({"inputs": [tensor, tensor]}).encode(),
        *(
            json.dumps({"inputs": [tensor], "outputs": [one]}).encode()
            for one in ({"name": []}, {})
        ),
        b'{"inputs": [{"name": "text", "shape": [1], "data": ' + b"[" * 90 + b"]" * 90 + b"}]}",
    ]
    for body in bodies:
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(url, body), timeout=30)
        assert refused.value.code == 422, body[:80]
        assert json.load(refused.value)["error"]


def test_requests_are_counted_by_their_route(served: Urls) -> None:
    url = served["image", "regression"]
    assert client_of(url).is_model_ready(MODEL)
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as metrics:
        assert 'http_requests_total{path="/v2/models/{name}/ready"' in metrics.read().decode()


def test_other_models_and_a_busy_server(served: Urls) -> None:
    client = client_of(served["text", BUSY])
    with pytest.raises(triton.InferenceServerException, match="the only model is toy_project"):
        client.get_model_metadata("other")
    with pytest.raises(triton.InferenceServerException) as refused:
        infer(served["text", BUSY], {"text": np.array(["a"], object)})
    assert refused.value.status() == "503"
