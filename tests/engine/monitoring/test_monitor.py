"""From answers of a server to the report: a shifted stream of rows is told, another is not."""

import json
import time
from collections.abc import Generator, Iterable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from miniature import CONFIGS, LABELS, make_rows
from prometheus_client.parser import text_string_to_metric_families
from toy_project import fetch, monitor, preprocess, train
from toy_project.artifacts import BUNDLE, PROCESSED
from toy_project.data.rows import Rows
from toy_project.models.bundle import Bundle
from toy_project.monitoring.drift import drift_of
from toy_project.monitoring.log import Answered, read_log
from toy_project.monitoring.observer import observe
from toy_project.serving.predictor import Predictor
from toy_project.serving.source import Source

from .. import commands
from ..conftest import has
from ..serving.conftest import compose, running, wait_until_ready
from .logs import make_log

COLUMNS = {"classification": "label", "regression": "target", "multilabel": "labels"}
DAY_S = 86_400
JSON = "application/json"

Table = list[dict[str, Any]]


class Trained(NamedTuple):
    """A project with a trained model, as the working directory."""

    target: str
    """The column that is predicted."""
    table: Table
    """All of its rows."""

    def inputs(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in row.items() if name != self.target}


def table_of(target: str) -> Table:
    """Rows in the order of their labels, with a column for an objective."""
    table = []
    for row in make_rows(per_label=200):
        label = row.values["label"]
        truth = {"label": label, "target": LABELS.index(label), "labels": [label, "any"]}
        inputs = {name: value for name, value in row.values.items() if name != "label"}
        table.append({**inputs, target: truth[target]})
    return table


@pytest.fixture(scope="module", params=COLUMNS)
def trained(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Trained]:
    """A project with a model of each objective."""
    objective, folder = request.param, tmp_path_factory.mktemp(request.param)
    (folder / "configs").symlink_to(CONFIGS)
    table = table_of(COLUMNS[objective])
    pq.write_table(pa.Table.from_pylist(table), folder / "rows.parquet")
    settings = ["data.path=rows.parquet", f"objective={objective}", "training=smoke"]
    settings += [f"data.columns.{COLUMNS[objective]}={COLUMNS[objective]}"]
    settings += [
        "tracking=none",
        "training.export=none",
        "training.max_steps=200",
        "data.on_duplicate=keep",
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert commands.run(fetch, preprocess, train, settings=settings) is None
        yield Trained(COLUMNS[objective], table)


@pytest.fixture
def project(trained: Trained) -> Trained:
    """The project, without a log."""
    for path in Path("logs").glob("*"):
        path.unlink()
    return trained


def record(
    project: Trained,
    rows: Iterable[Mapping[str, Any]],
    *,
    shift: int = 0,
    version: str | None = None,
) -> None:
    """Write the log of a server that has answered the rows in three days, and their truth.

    With `shift`, it is the truth of the row so many places before.
    """
    predictor = Predictor(Bundle.load(BUNDLE), version=version)
    log = make_log("logs", max_waiting=100_000)
    rows, now = list(rows), time.time()
    inputs = [project.inputs(row) for row in rows]
    for number, answer in enumerate(predictor.predict(inputs)):
        fields = {"id": str(number), "time": now - number % 3 * DAY_S, "latency_s": 0.002}
        answered = {**fields, **answer._asdict(), "model_version": predictor.version}
        log.offer(Answered(answered, inputs[number], predictor.spec.encoder))
        log.offer({"id": str(number), "label": rows[number - shift][project.target]})
    log.close()


def run_monitor(*settings: str) -> tuple[str | None, dict[str, Any]]:
    """Return the exit code of the command, and the report."""
    code = commands.run(monitor, settings=["tracking=none", *settings])
    return code, json.loads(Path("reports/monitoring.json").read_text("utf-8"))


def test_new_rows_like_those_of_training_are_no_alert(project: Trained) -> None:
    rows = [row.values for row in Rows(PROCESSED / "test.parquet")]
    record(project, rows)
    # Of 90 rows a metric can be a quarter worse by chance.
    code, report = run_monitor("monitoring.min_rows=50", "monitoring.max_loss=0.4")
    assert (code, report["alerts"]) == (None, [])
    assert report["num_predictions"] == report["num_with_truth"] == len(rows) > 50
    assert len(report["days"]) == 3
    assert report["metrics"].keys() == report["promised"].keys() != set()
    page = Path("reports/monitoring.html").read_text("utf-8")
    assert "Nothing is past its threshold" in page
    assert not any(word in page for word in ("http:", "https:", "<script", "@import"))


def test_rows_of_one_label_drift(project: Trained) -> None:
    record(project, project.table[:200])
    code, report = run_monitor()
    assert code == "4"
    drifting = {one["name"] for one in report["drift"] if one["drifts"]}
    assert drifting & {"prediction", *LABELS}
    assert all(any(name in alert for alert in report["alerts"]) for name in drifting)


def test_answers_that_are_wrong_break_a_promise(project: Trained) -> None:
    record(project, project.table, shift=200)
    code, report = run_monitor("monitoring.max_psi=100")
    assert code == "4"
    [alert] = report["alerts"]
    name = next(iter(report["metrics"]))
    value, promised = report["metrics"][name], report["promised"][name]
    assert alert == f"{name} is {value:.3g}, promised {promised:.3g}"


def test_few_rows_are_no_alert(project: Trained) -> None:
    record(project, project.table[:90], shift=50)
    assert run_monitor("monitoring.min_rows=100")[0] is None


def test_a_file_brings_the_truth_too_and_what_is_unknown_is_counted(project: Trained) -> None:
    record(project, project.table[:6])
    for path in Path("logs").glob("feedback-*"):
        path.unlink()
    truth = [{"id": "0", "label": project.table[0][project.target]}, {"id": "1", "label": ["?"]}]
    Path("truth.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in truth))
    _, report = run_monitor("monitoring.feedback=truth.jsonl")
    assert (report["num_with_truth"], report["num_unknown_labels"]) == (1, 1)


def test_labels_that_match_no_record_are_counted(
    project: Trained, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    record(project, project.table[:6])
    label = project.table[0][project.target]
    truth = [{"id": id_, "label": label} for id_ in ("5", "6", "a/0", "a")]
    Path("truth.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in truth))
    _, report = run_monitor("monitoring.feedback=truth.jsonl")
    assert (report["num_with_truth"], report["num_unmatched_labels"]) == (6, 3)
    told = "predictions: 6, with their truth: 6, labels that match none: 3"
    assert f"reports/monitoring.html: {told}" in caplog.messages
    assert "id is of no record: 3;" in Path("reports/monitoring.html").read_text("utf-8")


@pytest.mark.parametrize(("setting", "is_cut"), [("max_files=1", True), ("max_files=2", False)])
def test_the_report_says_that_the_log_lost_its_oldest_days(
    setting: str, is_cut: bool, project: Trained, caplog: pytest.LogCaptureFixture
) -> None:
    record(project, project.table[:6])
    _, report = run_monitor(f"monitoring.{setting}")
    began = datetime.fromisoformat(report["since"]).timestamp()
    assert (report["is_cut"], time.time() - began) == (is_cut, pytest.approx(2 * DAY_S, abs=60))
    told = f"logs is full and begins at {report['since']}, not 30 days ago"
    assert (told in caplog.text) == is_cut
    assert ("as the log is full" in Path("reports/monitoring.html").read_text("utf-8")) == is_cut


def test_without_a_log_the_report_says_so(project: Trained) -> None:
    code, report = run_monitor()
    assert (code, report["num_predictions"]) == ("5", 0)
    version = Bundle.load(BUNDLE).version
    assert report["alerts"] == [f"logs has no prediction of model {version} in 30 days"]


def test_a_log_of_other_versions_is_no_success(project: Trained) -> None:
    for version in ("1", "2"):
        record(project, project.table[:5], version=version)
    code, report = run_monitor()
    [alert] = report["alerts"]
    assert (code, report["versions"]) == ("5", {"1": 5, "2": 5})
    assert alert.endswith(", only of 1, 2: set serving.model as the server has it")
    assert json.loads(Path("logs/summary.json").read_text("utf-8"))["num_alerts"] == 1


def test_the_server_names_its_answers_and_takes_the_truth(trained: Trained, tmp_path: Path) -> None:
    config = compose(f"monitoring.folder={tmp_path}", "monitoring.inputs=true")
    source = Source(lambda: Predictor(Bundle.load(BUNDLE)))
    encoder = Bundle.load(BUNDLE).spec.encoder
    bodies = [encoder.request(trained.inputs(row)) for row in trained.table[:3]]
    bodies = json.loads(json.dumps(bodies, default=str))
    with running(source, config.serving, partial(observe, config=config)) as client:
        wait_until_ready(client)
        one = client.post("/predict", json=bodies[0])
        described = client.get("/v2/models/toy_project")  # whose example is not recorded
        has_v2 = has("deployment") and has("serving.fastapi")
        assert described.status_code == (200 if has_v2 else 404)
        several = client.post("/predict/batch", json={"inputs": bodies})
        ids = [one.headers["X-Request-Id"]]
        ids += [f"{several.headers['X-Request-Id']}/{number}" for number in range(3)]
        for id_, row in zip(ids[1:], trained.table, strict=False):
            truth = {"id": id_, "label": row[trained.target]}
            assert client.post("/feedback", json=truth).json() == {"accepted": True}
        for bad in ({}, {"id": 1, "label": 2}, {"id": "a" * 300, "label": 2}, {"id": "a"}, []):
            assert client.post("/feedback", json=bad).status_code == 422
        for number in ("NaN", "[1, -Infinity]", "1e999"):
            body, headers = f'{{"id": "a", "label": {number}}}', {"Content-Type": JSON}
            assert client.post("/feedback", content=body, headers=headers).status_code == 422
        of_a_form = client.post("/feedback", content=json.dumps({"id": ids[0], "label": "forged"}))
        assert (of_a_form.status_code, "application/json" in of_a_form.text) == (422, True)
        assert client.get("/feedback").status_code == 405
    records = {record["id"]: record for record in read_log(tmp_path, "predictions")}
    assert list(records) == ids
    answers = [one.json(), *several.json()["predictions"]]
    for id_, answer in zip(ids, answers, strict=True):
        assert {name: records[id_][name] for name in answer} == answer
        assert records[id_]["latency_s"] > 0 and records[id_]["features"]
    assert records[ids[0]]["input_hash"] == records[ids[1]]["input_hash"]
    assert [record["id"] for record in read_log(tmp_path, "feedback")] == ids[1:]


@pytest.mark.parametrize(
    ("settings", "recorded"),
    [
        ([], [True, True, False]),
        (["monitoring.features=false"], [True, False, False]),
        (["monitoring.inputs=true"], [True, True, True]),
        (["monitoring.sample_share=1e-9"], None),
    ],
    ids=["default", "without features", "inputs", "no sample"],
)
def test_a_record_has_no_more_of_an_input_than_it_may(
    trained: Trained, tmp_path: Path, settings: list[str], recorded: list[bool] | None
) -> None:
    config = compose(f"monitoring.folder={tmp_path}", *settings)
    source, encoder = (
        Source(lambda: Predictor(Bundle.load(BUNDLE))),
        Bundle.load(BUNDLE).spec.encoder,
    )
    body = json.dumps(encoder.request(trained.inputs(trained.table[0])), default=str)
    with running(source, config.serving, partial(observe, config=config)) as client:
        wait_until_ready(client)
        answer = client.post("/predict", content=body, headers={"Content-Type": JSON})
        assert answer.status_code == 200
    found = [
        [name in record for name in ("input_hash", "features", "input")]
        for record in read_log(tmp_path, "predictions")
    ]
    assert found == ([] if recorded is None else [recorded])


def test_the_metrics_of_the_server_are_those_of_the_newest_report(project: Trained) -> None:
    config, source = compose(), Source(lambda: Predictor(Bundle.load(BUNDLE)))
    with running(source, config.serving, partial(observe, config=config)) as client:

        def figures() -> dict[str, dict[str, float]]:
            """Return the value of each label by the name of the metric."""
            answer = client.get("/metrics")
            assert answer.status_code == 200
            return {
                family.name: {"".join(one.labels.values()): one.value for one in family.samples}
                for family in text_string_to_metric_families(answer.text)
                if family.name.startswith("drift_")
            }

        assert figures() == {}
        for rows in (project.table[:200], project.table):
            record(project, rows)
            started_at = time.time()
            _, report = run_monitor()
            found = figures()
            assert found["drift_psi"] == {one["name"]: one["psi"] for one in report["drift"]}
            assert found["drift_alerts"] == {"": len(report["alerts"])}
            [(version, made_at)] = found["drift_report_timestamp_seconds"].items()
            assert version == report["model_version"]
            assert started_at < made_at < time.time()
        Path("logs/summary.json").write_text("[]")
        assert figures() == {}


def test_a_log_that_cannot_be_written_gets_a_report_and_a_warning(
    project: Trained, caplog: pytest.LogCaptureFixture
) -> None:
    record(project, project.table[:200])
    summary = Path("logs/summary.json")
    summary.mkdir()
    try:
        assert run_monitor()[0] == "4"
    finally:
        summary.rmdir()
    assert "logs: Is a directory; /metrics keeps the last report" in caplog.messages


@pytest.mark.parametrize(
    ("reference", "current", "drifts"),
    [
        (range(1000), range(0, 1000, 3), False),
        (range(1000), range(300, 1000, 2), True),
        ([*range(500), *[None] * 500], [*range(0, 500, 2)], True),
        (["a"] * 700 + ["b"] * 300, ["a"] * 69 + ["b"] * 31, False),
        (["a"] * 700 + ["b"] * 300, ["a"] * 30 + ["c"] * 70, True),
        ([None] * 100, [None] * 100, False),
        ([1.0] * 100, [1.0] * 50, False),
    ],
)
def test_samples_drift_by_index_and_test(
    reference: Iterable[Any], current: Iterable[Any], drifts: bool
) -> None:
    drift = drift_of("x", [*reference], [*current])
    assert (drift.psi > 0.25, drift.p_value < 0.01) == (drifts, drifts)
    assert sum(drift.reference) == pytest.approx(1)
    assert sum(drift.current) == pytest.approx(1)
    assert len(drift.bins) == len(drift.reference) == len(drift.current)
