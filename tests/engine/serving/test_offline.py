"""Predictions of files: every format, whole rows in order, and no row lost or doubled by a kill."""

import csv
import gzip
import json
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from toy_project import predict
from toy_project.data import rows as data_rows
from toy_project.models.bundle import Bundle
from toy_project.serving.predictor import Predictor

from .. import commands
from ..data.test_large_data import BUDGET, watched

TEXTS = ["cat dog", 'oak, "rose"', "granite\nmarble", "whale"]
ROWS = [{"key": f"k{number}", "text": text} for number, text in enumerate(TEXTS)]


@pytest.fixture
def model(workspace: Path, bundle: Bundle) -> Predictor:
    """The model that `predict` takes in this project."""
    bundle.save(Path("models/bundle"))
    return Predictor(bundle)


def write_csv(path: Path, rows: Iterable[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["key", "text"])
        writer.writeheader()
        writer.writerows(rows)


def read(path: Path) -> list[dict]:
    """Return the rows of an output, with the texts of a CSV as they are."""
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix == ".jsonl":
            return [json.loads(line) for line in file]
        return [{**row, "confidence": float(row["confidence"])} for row in csv.DictReader(file)]


def predicted(*settings: str) -> str | None:
    """Return the error with which `python -m toy_project.predict` ends."""
    return commands.run(predict, settings=settings)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl.gz", "rows.parquet"])
def test_each_format_is_read_and_written(name, suffix, model):
    if name == "rows.csv":
        write_csv(Path(name), ROWS)
    elif name == "rows.parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), name)
    else:
        Path(name).write_bytes(gzip.compress("\n".join(map(json.dumps, ROWS)).encode()))
    assert predicted(f"input={name}", f"output=out{suffix}", "batch_size=2") is None
    answers = [{**one._asdict(), "model_version": model.version} for one in model.predict(ROWS)]
    expected = [row | answer for row, answer in zip(ROWS, answers, strict=True)]
    assert read(Path(f"out{suffix}")) == [pytest.approx(row, abs=1e-5) for row in expected]
    assert not Path(f".out{suffix}.parts").exists()


def test_rows_of_a_folder_have_their_file_and_line(model):
    for name in ("a", "b"):
        Path("many").mkdir(exist_ok=True)
        write_csv(Path("many", f"{name}.csv"), [ROWS[0]])
    assert predicted("input=many", "output=out.jsonl", "keep=[source]") is None
    assert [row["source"] for row in read(Path("out.jsonl"))] == ["many/a.csv:2", "many/b.csv:2"]


def test_a_bad_row_is_named_or_goes_to_a_file_of_its_own(model):
    write_csv(Path("rows.csv"), [*ROWS[:2], {"key": "bad", "text": " "}, ROWS[3]])
    line = (
        "error: rows.csv:4 cannot be predicted: the text is empty; "
        "`rejects=<file>` leaves out such rows"
    )
    assert predicted("input=rows.csv", "output=out.csv") == line
    assert not Path("out.csv").exists()
    assert predicted("input=rows.csv", "output=out.csv", "rejects=bad.jsonl") is None
    assert [row["key"] for row in read(Path("out.csv"))] == ["k0", "k1", "k3"]
    [rejected] = read(Path("bad.jsonl"))
    reason = {"source": "rows.csv:4", "reason": "the text is empty"}
    assert rejected == {"key": "bad", "text": None, **reason}


def test_a_text_that_is_no_unicode_is_written_as_it_was(model):
    text = r"half a pair: \ud800"
    Path("rows.jsonl").write_text(f'{{"text": "{text}"}}\n')
    for name in ("out.jsonl", "out.csv"):
        assert predicted("input=rows.jsonl", f"output={name}") is None
        assert text in Path(name).read_text()


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (["output=out.csv"], "input has no value"),
        (
            ["input=rows.csv", "output=out.xls"],
            "output must be a file .csv or .jsonl or .parquet, got 'out.xls'",
        ),
        (
            ["input=none.csv", "output=out.csv"],
            "input must be a file, or a folder with files, of rows, got 'none.csv'",
        ),
        (
            ["input=rows.csv", "output=./rows.csv"],
            "output must be outside of `input`, which it would replace, got './rows.csv'",
        ),
        (
            ["input=.", "output=out.csv"],
            "output must be outside of `input`, which it would replace, got 'out.csv'",
        ),
        (
            ["input=rows.csv", "output=out.csv", "rejects=rows.csv"],
            "rejects must be outside of `input`, which it would replace, got 'rows.csv'",
        ),
        (
            ["input=rows.csv", "output=out.jsonl", "rejects=out.jsonl"],
            "rejects must be another file than `output`, got 'out.jsonl'",
        ),
        (
            ["input=rows.csv", "output=out.csv", "keep=[id]"],
            "keep must be some of the columns key, text, got ['id']",
        ),
        (
            ["input=rows.csv", "output=out.csv", "data.columns.text=body"],
            "rows.csv has no column body; set data.columns.text to one of key, text",
        ),
    ],
)
def test_a_setting_that_cannot_be_used_is_told_in_one_line(settings, line, model):
    write_csv(Path("rows.csv"), ROWS)
    before = Path("rows.csv").read_bytes()
    assert predicted(*settings) == f"error: {line}"
    assert Path("rows.csv").read_bytes() == before


def test_a_column_of_the_predictions_is_not_replaced(model):
    Path("rows.jsonl").write_text('{"text": "cat", "prediction": "dog"}\n')
    assert predicted("input=rows.jsonl", "output=out.csv") == (
        "error: keep must be columns other than prediction, confidence, model_version, "
        "got ['text', 'prediction']"
    )
    assert predicted("input=rows.jsonl", "output=out.csv", "keep=[text]") is None


def test_columns_of_several_types_stay_in_json_lines_and_are_named_for_parquet(model):
    Path("rows.jsonl").write_text('{"text": "cat", "a": 1}\n{"text": "dog", "a": "b", "c": 2}\n')
    assert predicted("input=rows.jsonl", "output=out.jsonl") is None
    assert [row.get("a") for row in read(Path("out.jsonl"))] == [1, "b"]
    error = predicted("input=rows.jsonl", "output=out.parquet")
    assert error and error.endswith("; choose columns with `keep`, or write a .jsonl file")


def test_four_times_the_rows_are_predicted_in_the_same_memory(model, monkeypatch):
    monkeypatch.setattr(data_rows, "ROWS_PER_BATCH", 256)
    peaks = []
    for number in (1_000, 4_000):
        texts = (f"cat n{i} {'.' * 4000}" for i in range(number))
        write_csv(Path("rows.csv"), ({"key": str(i), "text": text} for i, text in enumerate(texts)))
        with watched() as found:
            assert predicted("input=rows.csv", "output=out.parquet") is None
        peaks.append(max(found))
    assert peaks[1] - peaks[0] < BUDGET


COMMAND = (sys.executable, "-m", predict.__name__, "input=rows.csv")
NUM_ROWS = 40_000


def test_a_killed_run_continues_without_a_row_lost_or_doubled(model):
    """Both other processes end with the first; in a pipe there is no progress bar."""
    texts = (f"cat n{number} {'dog ' * (number % 9)}" for number in range(NUM_ROWS))
    write_csv(Path("rows.csv"), ({"key": str(n), "text": text} for n, text in enumerate(texts)))
    command = [*COMMAND, "output=out.csv", "num_workers=2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and len(list(Path().glob(".out.csv.parts/part-*"))) < 1:
            time.sleep(0.01)
        process.kill()
        assert process.stderr and "rows" not in process.stderr.read()  # both others ended too
    assert not Path("out.csv").exists()
    second = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=True)
    first, last = second.stderr.splitlines()
    assert first.startswith("continuing after ")
    assert last == f"out.csv: {NUM_ROWS:,} rows of model {model.version}"
    assert [row["key"] for row in read(Path("out.csv"))] == [str(n) for n in range(NUM_ROWS)]
