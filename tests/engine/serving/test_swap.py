"""A new version of the model takes the place of the current one while requests are answered."""

import asyncio
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.client import HTTPConnection
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread

import pytest
import torch
from starlette.exceptions import HTTPException
from toy_project.config import TrackingConfig
from toy_project.models.base import build_model
from toy_project.models.bundle import CHECKS, Bundle
from toy_project.objectives.regression import Regression, RegressionConfig
from toy_project.serving.config import ServeConfig, ServingConfig
from toy_project.serving.engine import Engine
from toy_project.serving.predictor import Predictor
from toy_project.serving.source import Found, Source, find_in_folder, model_source
from toy_project.tracking.base import TrackingError, create_tracker
from toy_project.tracking.registry import create_registry

from ..conftest import SMALL, TRACKERS, bundle_of, make_config
from .conftest import Serve, running, wait_until_ready

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside the server

INTERVAL_S = 0.05
ROWS = [{"text": "cat dog"}, {"text": "oak"}, {"text": "granite " * 20}]


def other(bundle: Bundle, seed: int) -> Bundle:
    """Return a bundle with other weights, which are large enough to give other predictions."""
    torch.manual_seed(seed)
    model = build_model(SMALL, bundle.spec)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return bundle_of(model, bundle.spec, lineage=bundle.lineage)


def of_numbers(bundle: Bundle) -> Bundle:
    """Return a bundle with the same inputs and another objective."""
    numbers = Regression.fit([{"target": 1.5}, {"target": -3}], RegressionConfig())
    spec = replace(bundle.spec, objective=numbers)
    return bundle_of(build_model(SMALL, spec), spec, lineage=bundle.lineage)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def source_of(folder: Path, kind: type[Predictor] = Predictor) -> Source:
    return Source(lambda: kind(Bundle.load(folder)), partial(find_in_folder, folder))


@contextmanager
def engine_of(
    source: Source,
    *,
    interval_s: float = INTERVAL_S,
    prepare: Callable[[Engine], object] = lambda engine: None,
) -> Generator[Engine]:
    """Give an engine that has loaded its model and watches its source."""
    engine = Engine(source, ServingConfig(watch_interval_s=interval_s))
    prepare(engine)
    asyncio.run(engine.load())
    try:
        yield engine
    finally:
        engine.close()


@pytest.fixture
def engine(bundle_folder: Path) -> Generator[Engine]:
    """An engine that watches the folder of the bundle."""
    with engine_of(source_of(bundle_folder)) as engine:
        yield engine


def version(engine: Engine) -> str:
    return engine.require_loaded().version


def figure(engine: Engine, name: str, **labels: str) -> float:
    """Return a figure of the metrics; 0 if it does not exist."""
    return engine.registry.get_sample_value(name, labels) or 0


class Client(Thread):
    """Sends one request after the other on one connection, and keeps the answers."""

    def __init__(self, host: str, port: int, path: str, document: object) -> None:
        super().__init__()
        self.answers: list[tuple[int, list[dict[str, object]]]] = []
        self.may_end = Event()
        self._connection = HTTPConnection(host, port, timeout=30)
        self._path, self._body = path, json.dumps(document)

    def has_seen(self, version: str) -> bool:
        return bool(self.answers) and self.answers[-1][1][0]["model_version"] == version

    def run(self) -> None:
        headers = {"Content-Type": "application/json"}
        while not self.may_end.is_set():
            self._connection.request("POST", self._path, self._body, headers)
            response = self._connection.getresponse()
            answer = json.loads(response.read())
            self.answers.append((response.status, answer.get("predictions", [answer])))
            time.sleep(0.002)
        self._connection.close()


def test_twenty_swaps_under_load_fail_no_request(bundle, bundle_folder, serve: Serve):
    bundles = [bundle, *(other(bundle, seed) for seed in range(20))]
    versions = [one.version for one in bundles]
    expected = {one.version: Predictor(one).predict(ROWS) for one in bundles}
    with serve(f"serving.model={bundle_folder}", "serving.watch_interval_s=0.05") as served:
        at = served.host, served.port
        batch = {"inputs": ROWS * 5}
        clients = [Client(*at, "/predict/batch", batch) for _ in range(3)]
        clients += [Client(*at, "/predict", row) for row in ROWS]
        for client in clients:
            client.start()
        try:
            for new in bundles[1:]:
                new.save(bundle_folder)
                until(partial(clients[0].has_seen, new.version))
        finally:
            for client in clients:
                client.may_end.set()
                client.join()
        assert json.loads(served.ask("GET", "/model").body)["previous_version"] == versions[-2]
    for number, client in enumerate(clients):
        assert {status for status, _ in client.answers} == {200}
        seen = []
        for _, answers in client.answers:
            [found] = {answer["model_version"] for answer in answers}
            seen.append(versions.index(found))
            rows = expected[found] * 5 if number < 3 else [expected[found][number - 3]]
            for answer, prediction in zip(answers, rows, strict=True):
                assert answer["prediction"] == prediction.prediction
                assert answer["confidence"] == pytest.approx(prediction.confidence, abs=1e-4)
        assert all(one <= two for one, two in pairwise(seen))
        assert len(set(seen)) > 10


class BusyPredictor(Predictor):
    """Predicts an example, its warm-up, then nothing until it is let."""

    may_go_on = Event()
    is_warm = False

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle)
        self.is_warm = True

    def predict(self, rows):
        assert not self.is_warm or self.may_go_on.wait(timeout=30)
        return super().predict(rows)


def cut(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])


def of_the_future(folder: Path) -> None:
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"schema_version": ', '"schema_version": 9'))


BROKEN = {
    "damaged": (cut, "is damaged: model.safetensors is not what was written"),
    "of another schema version": (of_the_future, "has schema version 9"),
    "without a file": (
        lambda folder: (folder / "lineage.json").unlink(),
        "lineage.json is missing",
    ),
    "gone": (shutil.rmtree, "config.json is missing"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_bundle_is_refused_once_and_named(name, engine, bundle, bundle_folder, caplog):
    damage, reason = BROKEN[name]
    damage(bundle_folder)
    until(lambda: figure(engine, "model_loads_total", outcome="refused"))
    refused = engine.about()["refused"]
    assert refused["name"] == str(bundle_folder)
    assert reason in refused["reason"]
    assert version(engine) == bundle.version
    state = {"state": "refused", "model_version": str(bundle_folder)}
    assert figure(engine, "model_info", **state) == 1
    time.sleep(6 * INTERVAL_S)
    assert figure(engine, "model_loads_total", outcome="refused") == 1
    [line] = [one.message for one in caplog.records if one.levelname == "ERROR"]
    assert line.startswith(f"{bundle_folder} is refused, model {bundle.version} stays: ")

    new = other(bundle, 1)
    new.save(bundle_folder)
    until(lambda: version(engine) == new.version)
    assert engine.about()["refused"] is None
    assert figure(engine, "model_info", **state) == 0


def test_a_bundle_that_fails_its_check_is_refused(engine, bundle, bundle_folder):
    new = other(bundle, 1)
    replace(new, files={**new.files, CHECKS: bundle.files[CHECKS]}).save(bundle_folder)
    until(lambda: engine.refused)
    reason = f"{bundle_folder} gives other outputs than in training; train the model again"
    assert engine.about()["refused"] == {"name": str(bundle_folder), "reason": reason}
    assert version(engine) == bundle.version


def test_a_folder_that_is_being_copied_is_not_read(bundle, bundle_folder, tmp_path):
    new = other(bundle, 1)
    new.save(tmp_path / "new")
    with engine_of(source_of(bundle_folder), interval_s=0.2) as engine:
        for path in sorted((tmp_path / "new").iterdir()):
            if path.is_file():
                shutil.copy(path, bundle_folder)
                time.sleep(0.1)
        until(lambda: version(engine) == new.version)
        assert figure(engine, "model_loads_total", outcome="refused") == 0


def test_a_rollback_is_pinned_until_a_reload(engine, bundle, bundle_folder):
    with pytest.raises(HTTPException, match=f"no model was served before {bundle.version}"):
        engine.rollback()
    bad, better = other(bundle, 1), other(bundle, 2)
    bad.save(bundle_folder)
    until(lambda: version(engine) == bad.version)
    engine.rollback()
    assert version(engine) == bundle.version
    assert engine.about()["pinned"] is True
    better.save(bundle_folder)
    until(lambda: figure(engine, "model_loads_total", outcome="waits") == 1)
    assert version(engine) == bundle.version
    engine.reload()
    assert version(engine) == better.version
    assert (engine.about()["pinned"], engine.about()["previous_version"]) == (False, bundle.version)
    bundle.save(bundle_folder)
    until(lambda: version(engine) == bundle.version)


def test_a_reload_that_fails_leaves_the_version_pinned(bundle, bundle_folder):
    source, answers = source_of(bundle_folder), True

    def find() -> Found:
        if answers:
            return source.find()
        raise TrackingError("no answer from the registry")

    with engine_of(replace(source, find=find), interval_s=0) as engine:
        other(bundle, 1).save(bundle_folder)
        engine.reload()
        engine.rollback()
        answers = False
        with pytest.raises(HTTPException, match="no answer from the registry") as caught:
            engine.reload()
        assert (caught.value.status_code, engine.pinned) == (503, True)
        answers = True
        cut(bundle_folder)
        with pytest.raises(HTTPException, match="is refused") as caught:
            engine.reload()
        assert (caught.value.status_code, engine.pinned) == (409, True)
        assert version(engine) == bundle.version
        better = other(bundle, 2)
        better.save(bundle_folder)
        engine.reload()
        assert (version(engine), engine.pinned) == (better.version, False)


@pytest.mark.parametrize("target", ["nothing", "dangling"])  # a link to nothing, and to itself
def test_a_link_that_leads_nowhere_hides_no_change(target, bundle, bundle_folder):
    (bundle_folder / "dangling").symlink_to(target)
    with engine_of(source_of(bundle_folder)) as engine:
        new = other(bundle, 1)
        new.save(bundle_folder.with_name("new"))
        for path in bundle_folder.with_name("new").iterdir():
            shutil.copy(path, bundle_folder)
        until(lambda: version(engine) == new.version)
        assert (bundle_folder / "dangling").is_symlink()


def test_without_an_interval_only_a_reload_loads(bundle, bundle_folder):
    with engine_of(source_of(bundle_folder), interval_s=0) as engine:
        new = other(bundle, 1)
        new.save(bundle_folder)
        time.sleep(0.2)
        assert version(engine) == bundle.version
        engine.reload()
        assert version(engine) == new.version
        cut(bundle_folder)
        with pytest.raises(HTTPException, match=r"is refused: .* is damaged") as caught:
            engine.reload()
        assert caught.value.status_code == 409


def test_an_administrator_rolls_back_and_reloads_over_http(
    bundle, bundle_folder, config, monkeypatch
):
    monkeypatch.setenv("SERVING_API_KEYS", f"{hashlib.sha256(b'secret').hexdigest()} admin")
    with running(source_of(bundle_folder), replace(config, watch_interval_s=0)) as client:
        wait_until_ready(client)
        new = other(bundle, 1)
        new.save(bundle_folder)
        assert client.post("/admin/reload").status_code == 401
        client.headers["X-API-Key"] = "secret"
        reloaded = client.post("/admin/reload")
        assert (reloaded.status_code, reloaded.json()["model_version"]) == (200, new.version)
        rolled_back = client.post("/admin/rollback").json()
        assert (rolled_back["model_version"], rolled_back["pinned"]) == (bundle.version, True)
        assert client.post("/predict", json=ROWS[0]).json()["model_version"] == bundle.version
        refused = client.post("/admin/rollback")
    assert refused.status_code == 409
    assert refused.json()["detail"] == f"no model was served before {bundle.version}"


@pytest.mark.skipif(not TRACKERS, reason="the project has no registry")
def test_the_champion_of_the_registry_is_followed(
    tracking: TrackingConfig, bundle, tmp_path, monkeypatch, caplog
):
    registry, folder = create_registry(tracking), tmp_path / "candidate"

    def promote(candidate: Bundle) -> str:
        candidate.save(folder)
        with create_tracker(tracking).start("a run") as run:
            model = registry.register(
                "model", folder, run=run, description="", tags=candidate.tags()
            )
            registry.promote(model, run=run)
        return model.version

    serving = ServingConfig(model="champion")
    source = model_source(make_config(ServeConfig, tracking=tracking, serving=serving))
    first = promote(bundle)
    with engine_of(source) as engine:
        assert version(engine) == first
        second = promote(other(bundle, 1))
        until(lambda: version(engine) == second)
        if tracking.name != "mlflow":
            return
        with monkeypatch.context() as patch:
            patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
            warning = "no newer model can be looked for"
            until(lambda: any(warning in line for line in caplog.messages))
            assert version(engine) == second
        third = promote(other(bundle, 2))
        until(lambda: version(engine) == third)
        assert sum(warning in line for line in caplog.messages) == 1
