"""Images over HTTP: base64 or pixels, and bodies that nobody should send."""

import json
import re
import struct
import zlib
from base64 import b64encode
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from threading import Lock
from time import sleep
from typing import ClassVar

import httpx2
import pytest
from PIL import Image
from toy_project.data.image import ImageEncoder, Mode
from toy_project.data.spec import DataSpec
from toy_project.models.base import build_model
from toy_project.models.bundle import Bundle
from toy_project.objectives.multilabel import Multilabel, MultilabelConfig
from toy_project.serving.predictor import Predictor

from ..conftest import bundle_of
from ..serving.conftest import ServingConfig, assert_refused, running, wait_until_ready
from .pictures import encoded, encoder, noise

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside the server

SIDE = 8


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return a part of a PNG."""
    end = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + end


def body_of(content: bytes) -> dict[str, str]:
    return {"image": b64encode(content).decode()}


BOMB = b"".join(
    [
        b"\x89PNG\r\n\x1a\n",
        chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)),
        chunk(b"IDAT", zlib.compress(bytes(1_000_000))),
        chunk(b"IEND", b""),
    ]
)
"""An image of 1 kB that says it has 3.6 billion pixels."""
PROGRESSIVE = encoded(noise(64, 64), "JPEG", progressive=True)
LAST_SCAN = PROGRESSIVE[PROGRESSIVE.rindex(b"\xff\xda") : -2]
SCANS = PROGRESSIVE[:-2] + LAST_SCAN * 100 + PROGRESSIVE[-2:]
"""A JPEG whose last scan is repeated: each time, all its pixels are decoded again."""
FILES = {
    "bomb": BOMB,
    "scans": SCANS,
    "garbage": bytes(range(256)),
    "empty": b"",
    "cut": encoded(noise())[:80],
    "GIF": encoded(noise(), "GIF"),
    "TIFF": encoded(noise(), "TIFF"),
}
HOSTILE = [
    *('{"image": "%%%"}', '{"image": null}', '{"image": 1}', '{"pixels": [[0]], "image": "AAAA"}'),
    *('{"pixels": []}', '{"pixels": [[]]}', '{"pixels": [[0], [0, 1]]}', '{"pixels": [[256]]}'),
    *('{"pixels": [0]}', '{"pixels": [[-1]]}', '{"pixels": [[NaN]]}', '{"pixels": [["0"]]}'),
    '{"pixels": ' + "[" * 9999,
    *(json.dumps(body_of(content)) for content in FILES.values()),
    json.dumps({"pixels": [["a"] * 1000] * 1000}),
]


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    """An untrained model of small grey images."""
    objective = Multilabel.fit([{"labels": ["a", "b"]}, {"labels": []}], MultilabelConfig())
    files = [encoded(noise(SIDE, SIDE)) for _ in range(4)]
    spec = DataSpec(encoder(*files, size=SIDE, mode=Mode.grey), objective)
    model = build_model({"name": "cnn"}, spec)
    return bundle_of(model, spec, exports=True)


@pytest.fixture(scope="module")
def client(bundle: Bundle) -> Generator[httpx2.Client]:
    """A client of a server of the model."""
    with running(lambda: Predictor(bundle), ServingConfig(docs=True)) as client:
        wait_until_ready(client)
        yield client


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_an_image_is_predicted_as_without_a_server(client, bundle, kind):
    contents = [encoded(noise(9, 7), kind) for _ in range(20)]
    expected = Predictor(bundle).predict([{"image": content} for content in contents])
    with ThreadPoolExecutor(8) as clients:
        posts = clients.map(lambda one: client.post("/predict", json=body_of(one)), contents)
        answers = [post.json() for post in posts]
    for answer, prediction in zip(answers, expected, strict=True):
        assert answer["confidences"] == pytest.approx(prediction.confidences, abs=1e-4)
        assert answer["prediction"] == prediction.prediction


def test_pixels_are_predicted_as_the_image_of_them(client):
    image = noise(SIDE, SIDE, "L")
    pixels = [[image.getpixel((x, y)) for x in range(SIDE)] for y in range(SIDE)]
    bodies = [{"pixels": pixels}, body_of(encoded(image))]
    answers = client.post("/predict/batch", json={"inputs": bodies}).json()["predictions"]
    assert answers[0] == answers[1]


def test_no_body_makes_the_server_fail(client):
    assert_refused(client, HOSTILE)
    assert client.post("/predict", json={"pixels": [[0]]}).status_code == 200


def test_a_progressive_image_is_predicted_unless_it_has_many_scans(client):
    assert client.post("/predict", json=body_of(PROGRESSIVE)).status_code == 200
    [problem] = client.post("/predict", json=body_of(SCANS)).json()["errors"]
    assert problem["msg"].endswith("scans, more than 32")


def test_a_batch_of_large_images_does_not_hold_up_others(client):
    large = body_of(encoded(Image.new("L", (4096, 4096))))
    with ThreadPoolExecutor(1) as other:
        batch = other.submit(client.post, "/predict/batch", json={"inputs": [large] * 16})
        sleep(0.1)
        assert client.post("/predict", json={"pixels": [[0]]}).status_code == 200
        assert not batch.done()
        assert batch.result().status_code == 200


def test_a_bad_image_fails_its_own_request(client):
    files = [encoded(noise()), BOMB] * 16
    with ThreadPoolExecutor(16) as clients:
        posts = list(clients.map(lambda one: client.post("/predict", json=body_of(one)), files))
    assert [post.status_code for post in posts] == [200, 422] * 16


class SlowEncoder(ImageEncoder):
    """Needs 0.1 s for a request, and fails if another one is being read."""

    reading: ClassVar = Lock()

    def is_small(self, request):
        """Return that no image is."""
        return False

    def row(self, request):
        """Return the image."""
        assert self.reading.acquire(blocking=False)
        sleep(0.1)
        self.reading.release()
        return super().row(request)


def asked_at_once(bundle: Bundle, config: ServingConfig, times: int = 16) -> list[tuple[int, str]]:
    """Return status and content of the answers to requests whose images are slow to read."""
    plain = bundle.spec.encoder
    slow = SlowEncoder(**{each.name: getattr(plain, each.name) for each in fields(plain)})
    other = replace(bundle, spec=replace(bundle.spec, encoder=slow))
    with running(lambda: Predictor(other), config) as client, ThreadPoolExecutor(16) as clients:
        wait_until_ready(client)
        body = body_of(encoded(noise()))
        posts = list(clients.map(lambda _: client.post("/predict", json=body), range(times)))
    return [(post.status_code, post.text) for post in posts]


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"max_batch_size": 4, "max_queue_size": 4}, "too many inputs are waiting"),
        ({"max_wait_s": 0.25}, "the wait (was|may be) longer than 0.25 s"),
    ],
    ids=["room", "time"],
)
def test_images_are_read_one_after_another_and_count_as_waiting(bundle, limits, reason):
    answers = asked_at_once(bundle, ServingConfig(**limits))
    assert {status for status, _ in answers} == {200, 503}
    assert all(re.search(reason, text) for status, text in answers if status == 503)


def test_no_answer_is_late_even_if_no_one_else_asks(bundle):
    [(status, text), *_] = asked_at_once(bundle, ServingConfig(max_wait_s=0.05), times=1)
    assert (status, "the wait was longer than 0.05 s" in text) == (503, True)


def test_an_image_has_so_many_pixels_at_most(bundle):
    encoder = replace(bundle.spec.encoder, max_pixels=100)
    limited = replace(bundle, spec=replace(bundle.spec, encoder=encoder))
    with running(lambda: Predictor(limited), ServingConfig()) as client:
        wait_until_ready(client)
        posts = [client.post("/predict", json=body_of(encoded(noise(w, 10)))) for w in (10, 11)]
    assert [post.status_code for post in posts] == [200, 422]
    assert "pixels" in posts[1].text


def test_the_documentation_has_both_kinds_of_input(client):
    document = client.get("/openapi.json")
    if document.status_code == 404:
        document = client.get("/docs.json")
    request = document.json()["components"]["schemas"]["PredictRequest"]["properties"]
    assert request.keys() == {"image", "pixels"}
    assert request["image"]["anyOf"][0]["contentEncoding"] == "base64"
