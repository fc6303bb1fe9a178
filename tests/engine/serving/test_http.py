import json
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, fields, replace
from threading import Event, current_thread
from time import sleep
from typing import ClassVar

import pytest
from miniature import make_rows
from toy_project.data.text import TextEncoder
from toy_project.serving.predictor import Predictor

from .conftest import running, wait_until_ready

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside the server

TEXTS = [row.values["text"] for row in make_rows()][:100]


def rows(texts: list[str]) -> list[dict[str, str]]:
    return [{"text": text} for text in texts]


def assert_equal(answer, expected) -> None:
    """A batch of another shape may round the last digits in another way."""
    assert answer["prediction"] == expected.prediction
    assert answer["confidence"] == pytest.approx(expected.confidence, abs=1e-5)


def test_one_prediction(client, predictor):
    answer = client.post("/predict", json={"text": TEXTS[0]}).json()
    assert answer.keys() == {"prediction", "confidence", "model_version"}
    assert answer["model_version"] == "3"
    assert_equal(answer, predictor.predict(rows(TEXTS[:1]))[0])


def test_a_batch_of_predictions(client, predictor):
    answer = client.post("/predict/batch", json={"inputs": [{"text": text} for text in TEXTS[:32]]})
    expected = predictor.predict(rows(TEXTS[:32]))
    for one, other in zip(answer.json()["predictions"], expected, strict=True):
        assert_equal(one, other)


@pytest.mark.parametrize("value", ["true", "True"])
def test_a_client_asks_for_the_confidence_of_each_label(client, bundle, value):
    body = {"text": TEXTS[0]}
    plain = client.post("/predict", json=body)
    answer = client.post("/predict", params={"confidences": value}, json=body).json()
    shares = answer.pop("confidences")
    assert answer == plain.json()
    assert shares.keys() == set(bundle.spec.objective.labels)
    assert next(iter(shares.items())) == (answer["prediction"], answer["confidence"])
    assert [*shares.values()] == sorted(shares.values(), reverse=True)
    assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
    for other in ("confidences=false", "confidence=true", "a&b=1&%"):
        assert client.post(f"/predict?{other}", json=body).content == plain.content


def test_requests_with_and_without_confidences_come_together(client):
    def post(number: int) -> set[str]:
        inputs = rows(TEXTS[number : number + 3])
        params = {"confidences": "true"} if number % 2 else {}
        answer = client.post("/predict/batch", params=params, json={"inputs": inputs}).json()
        [names] = {frozenset(one) for one in answer["predictions"]}
        return set(names)

    with ThreadPoolExecutor(32) as clients:
        answers = list(clients.map(post, range(64)))
    plain = {"prediction", "confidence", "model_version"}
    assert answers == [plain, plain | {"confidences"}] * 32


@pytest.mark.parametrize("query", ["confidences", "confidences=1", "confidences=tru%C3%A9"])
@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
def test_a_query_that_means_nothing_is_refused(client, path, query):
    answer = client.post(f"{path}?{query}", json={"text": "a"})
    assert answer.status_code == 422
    [problem] = answer.json()["errors"]
    assert problem["loc"] == ["query", "confidences"]
    assert problem["msg"] == "the value must be true or false"


def test_concurrent_requests_get_the_offline_predictions(client, predictor):
    with ThreadPoolExecutor(64) as clients:
        post = client.post
        answers = list(clients.map(lambda text: post("/predict", json={"text": text}), TEXTS))
    for answer, expected in zip(answers, predictor.predict(rows(TEXTS)), strict=True):
        assert_equal(answer.json(), expected)


def test_health_and_readiness_before_and_after_the_model_is_loaded(predictor, config):
    may_load = Event()

    def load() -> Predictor:
        assert may_load.wait(timeout=10)
        return predictor

    with running(load, config) as client:
        assert client.get("/health").json() == {"status": "healthy", "model_loaded": False}
        predict = client.post("/predict", json={"text": "a"})
        for refused in (client.get("/ready"), client.get("/model"), predict):
            assert refused.status_code == 503
            assert refused.json()["detail"] == "the model is being loaded"
            assert refused.headers["Retry-After"] == "1"
        may_load.set()
        wait_until_ready(client)
        assert client.get("/health").json() == {"status": "healthy", "model_loaded": True}
        assert client.post("/predict", json={"text": "a"}).status_code == 200


def test_the_lineage_of_the_model(client, bundle):
    assert client.get("/model").json() == {
        "model_version": "3",
        "precision": "float32",
        "labels": list(bundle.spec.objective.labels),
        **asdict(bundle.lineage),
        **{"previous_version": None, "pinned": False, "refused": None},
    }


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ('{"text": ""}', ["body", "text"]),
        ('{"text": " \\n "}', ["body", "text"]),
        ('{"text": NaN}', ["body", "text"]),
        ('{"text": 1}', ["body", "text"]),
        ('{"text": null}', ["body", "text"]),
        ('{"text": "\\ud800"}', ["body"]),
        (json.dumps({"text": "a" * 1001}), ["body", "text"]),
        ('{"text": "a", "language": "en"}', ["body"]),
        ("{}", ["body", "text"]),
        ("[]", ["body"]),
        ("NaN", ["body"]),
        ('{"text": ', ["body"]),
        ("", ["body"]),
        (b"\xff", ["body"]),
        ("[" * 100_000, ["body"]),
    ],
)
def test_a_bad_request_is_told_where_it_is_wrong(client, body, where):
    answer = client.post("/predict", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    [problem] = answer.json()["errors"]
    assert problem.keys() == {"type", "loc", "msg"}
    assert problem["loc"] == where


@pytest.mark.parametrize("content_type", ["text/plain", "application/octet-stream", ""])
def test_what_is_not_called_json_is_not_read_as_json(client, content_type):
    answer = client.post(
        "/predict", content='{"text": "a"}', headers={"Content-Type": content_type}
    )
    assert answer.status_code == 422
    [problem] = answer.json()["errors"]
    assert problem["loc"] == ["body"]
    assert problem["msg"] == "Content-Type must be application/json"


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "application/a+json"])
def test_json_has_several_names(client, content_type):
    body, headers = '{"text": "a"}', {"Content-Type": content_type}
    assert client.post("/predict", content=body, headers=headers).status_code == 200


@pytest.mark.parametrize("number", [0, 33])
def test_a_batch_has_its_limits(client, number):
    answer = client.post("/predict/batch", json={"inputs": [{"text": "a"}] * number})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["body", "inputs"]


def test_a_bad_input_of_a_batch_is_told_by_its_place(client):
    inputs = [{"text": "a"}, {"text": ""}, {"text": "b"}, {"txt": "c"}]
    answer = client.post("/predict/batch", json={"inputs": inputs})
    assert answer.status_code == 422
    assert [(problem["type"], problem["loc"]) for problem in answer.json()["errors"]] == [
        ("string_too_short", ["body", "inputs", 1, "text"]),
        ("missing", ["body", "inputs", 3, "text"]),
        ("extra_forbidden", ["body", "inputs", 3]),
    ]


class Picky(TextEncoder):
    """An encoder that refuses a text that a valid request may have."""

    threads: ClassVar[set[str]] = set()

    def row(self, request):
        self.threads.add(current_thread().name)
        if request["text"] == "cat":
            raise ValueError("the text is a cat, of which " + "many " * 100)
        return request


class SlowAndPicky(Picky):
    """An encoder whose rows are made in a thread, so that other requests go on."""

    row_is_slow = True


@pytest.mark.parametrize("kind", [Picky, SlowAndPicky])
def test_a_row_that_the_encoder_refuses_fails_its_own_request(bundle, config, kind):
    fitted = bundle.spec.encoder
    encoder = kind(**{field.name: getattr(fitted, field.name) for field in fields(fitted)})
    picky = replace(bundle, spec=replace(bundle.spec, encoder=encoder))
    kind.threads.clear()
    with running(lambda: Predictor(picky), config) as client, ThreadPoolExecutor(8) as clients:
        wait_until_ready(client)
        texts = ["cat", "dog"] * 16
        answers = list(
            clients.map(lambda text: client.post("/predict", json={"text": text}), texts)
        )
        inputs = [{"text": text} for text in ("dog", "cat")]
        batch = client.post("/predict/batch", json={"inputs": inputs})
    assert [answer.status_code for answer in answers] == [422, 200] * 16
    assert answers[0].json()["errors"][0]["loc"] == ["body"]
    [problem] = batch.json()["errors"]
    assert (problem["type"], problem["loc"]) == ("value_error", ["body", "inputs", 1])
    assert problem["msg"].startswith("the text is a cat") and len(problem["msg"]) == 100
    assert (kind.threads == {"reader_0"}) is kind.row_is_slow


@pytest.mark.parametrize(
    "body", [{"text": "a" * 150_000}, {"a" * 150_000: "a"}, {"inputs": [{"x": 1}] * 9_000}], ids=len
)
def test_the_answer_to_a_bad_request_is_small(client, body):
    for path in ("/predict", "/predict/batch"):
        answer = client.post(path, json=body)
        assert answer.status_code == 422
        assert len(answer.content) < 2_000


def test_a_body_that_is_too_large_is_not_read(client):
    body, headers = b" " * 10_000_000, {"Content-Type": "application/json"}
    assert client.post("/predict", content=body, headers=headers).status_code == 413
    chunks = iter([body[:1_000_000]] * 10)
    assert client.post("/predict", content=chunks, headers=headers).status_code == 413
    assert client.post("/predict", json={"text": "a"}).status_code == 200


class BusyPredictor(Predictor):
    """Predicts one text, its warm-up, then nothing until it is let."""

    def __init__(self, bundle) -> None:
        self.may_go_on = Event()
        self.may_go_on.set()
        super().__init__(bundle)
        self.may_go_on.clear()

    def predict(self, rows):
        assert self.may_go_on.wait(timeout=30)
        return super().predict(rows)


def test_a_full_queue_is_answered_503_at_once(bundle, config):
    predictor = BusyPredictor(bundle)
    small = replace(config, max_batch_size=1, max_queue_size=1)
    with running(lambda: predictor, small) as client, ThreadPoolExecutor(3) as clients:
        wait_until_ready(client)
        posts = [clients.submit(client.post, "/predict", json={"text": "a"}) for _ in range(3)]
        refused = next(as_completed(posts)).result()
        predictor.may_go_on.set()
        statuses = {post.result().status_code for post in posts}
    assert refused.status_code == 503
    assert refused.json()["detail"] == "too many inputs are waiting"
    assert refused.headers["Retry-After"] == "1"
    assert statuses == {200, 503}


def test_a_request_that_would_wait_too_long_is_answered_503_at_once(bundle, config):
    predictor = BusyPredictor(bundle)
    hurried = replace(config, max_batch_size=1, max_wait_s=0.25)
    with running(lambda: predictor, hurried) as client, ThreadPoolExecutor(1) as clients:
        wait_until_ready(client)
        first = clients.submit(client.post, "/predict", json={"text": "a"})
        sleep(1)  # so long as this batch takes, the next one is expected to take
        predictor.may_go_on.set()
        assert first.result().status_code == 200
        predictor.may_go_on.clear()
        second = clients.submit(client.post, "/predict", json={"text": "a"})
        sleep(0.2)  # it is in the model by then
        refused = client.post("/predict", json={"text": "a"})
        predictor.may_go_on.set()
        assert second.result().status_code == 200
    assert refused.status_code == 503
    assert refused.json()["detail"] == "the wait may be longer than 0.25 s"
    assert refused.headers["Retry-After"] in {"1", "2"}


@pytest.mark.parametrize(("given", "kept"), [("0.25", "0.25"), ("1e9", "1")])
def test_a_client_can_shorten_its_wait_and_not_lengthen_it(bundle, config, given, kept):
    predictor = BusyPredictor(bundle)
    hurried = replace(config, max_wait_s=1)
    with running(lambda: predictor, hurried) as client, ThreadPoolExecutor(2) as clients:
        wait_until_ready(client)
        first = clients.submit(client.post, "/predict", json={"text": "a"})
        sleep(0.2)  # it is in the model by then
        headers = {"X-Request-Timeout": given}
        second = clients.submit(client.post, "/predict", json={"text": "a"}, headers=headers)
        sleep(float(kept) + 0.2)
        predictor.may_go_on.set()
        assert first.result().status_code == 200
    assert second.result().status_code == 503
    assert second.result().json()["detail"] == f"the wait was longer than {kept} s"


@pytest.mark.parametrize("given", ["", "soon", "0", "-1", "nan"])
def test_a_timeout_is_a_number_of_seconds(client, given):
    headers = {"X-Request-Timeout": given}
    answer = client.post("/predict", json={"text": "a"}, headers=headers)
    assert answer.status_code == 422
    [problem] = answer.json()["errors"]
    assert problem["loc"] == ["header", "X-Request-Timeout"]
    assert problem["msg"] == "the value must be a number of seconds > 0"


@pytest.mark.parametrize(
    ("path", "body"),
    [("/predict", {"text": "a"}), ("/predict/batch", {"inputs": [{"text": "a"}, {"text": "b"}]})],
)
def test_requests_that_come_while_the_model_is_busy_share_a_batch(bundle, config, path, body):
    predictor = BusyPredictor(bundle)
    with running(lambda: predictor, config) as client, ThreadPoolExecutor(16) as clients:
        wait_until_ready(client)
        posts = [clients.submit(client.post, path, json=body) for _ in range(16)]
        sleep(0.5)  # all 16 wait by then; should one be late, there is one batch more
        predictor.may_go_on.set()
        assert {post.result().status_code for post in posts} == {200}
        lines = client.get("/metrics").text.splitlines()
    figures = dict(line.split() for line in lines if line.startswith("batch_size_"))
    assert figures["batch_size_sum"] == str(16.0 * len(body.get("inputs", [body])))
    assert float(figures["batch_size_count"]) <= 4


def test_the_figures_of_a_server(predictor, config):
    with running(lambda: predictor, config) as client:
        wait_until_ready(client)
        client.post("/predict", json={"text": "a"})
        client.post("/predict/batch", json={"inputs": [{"text": "a"}] * 5})
        client.post("/predict", json={})
        client.get("/no/such/path")
        answer = client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    [label] = {prediction.prediction for prediction in predictor.predict(rows(["a"]))}
    lines = answer.text.splitlines()
    for line in (
        'http_requests_total{path="/predict",status="200"} 1.0',
        'http_requests_total{path="/predict",status="422"} 1.0',
        'http_requests_total{path="/predict/batch",status="200"} 1.0',
        'http_requests_total{path="unknown",status="404"} 1.0',
        'http_request_duration_seconds_count{path="/predict"} 2.0',
        "batch_size_count 2.0",
        "batch_size_sum 6.0",
        'predictions_total{label="' + label + '"} 6.0',
    ):
        assert line in lines
