"""Predictions for the rows of a file.

The rows are cut into parts, each of which becomes a file in a folder beside the output. A run that
was killed continues with the parts that are missing.
"""

import csv
import hashlib
import json
import logging
import multiprocessing
import os
import shutil
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextvars import ContextVar
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple

from tqdm import tqdm

from ..artifacts import new_file
from ..data.encoder import Encoder, files_in
from ..data.reading import inputs
from ..data.rows import DataError, Input, Values, in_batches
from ..errors import ProjectError
from ..rules import require
from ..running import running
from .config import PredictConfig

if TYPE_CHECKING:
    from .predictor import Predictor

VERSION = "model_version"
"""The column of the output that says which model predicted a row."""
_predictor: ContextVar["Predictor"] = ContextVar("predictor")
"""The model of a process."""
REMEDY = "choose columns with `keep`, or write a .jsonl file"

log = logging.getLogger(__name__)

Load = Callable[[], "Predictor"]


class Job(NamedTuple):
    """What all processes know."""

    config: PredictConfig
    folder: Path
    """Of the parts."""
    version: str
    """Of the model."""


def predict_file(config: PredictConfig, load: Load) -> None:
    """Write `config.output`: the rows of `config.input` with their predictions, in order.

    Raises:
        ConfigError: A setting names a file or a column that is not there.
        DataError: A file cannot be read, or a row cannot be predicted.
        ProjectError: A process was killed.
    """
    output = Path(config.output)
    folder = output.with_name(f".{output.name}.parts")
    folder.mkdir(parents=True, exist_ok=True)
    with running("predict", folder / "lock"):
        predictor = load()
        _begin(folder, config, predictor.version)
        with tqdm(unit=" rows", leave=False, disable=not sys.stderr.isatty()) as bar:
            count = 0
            for number in _written(Job(config, folder, predictor.version), predictor, load):
                count += number
                bar.update(number)
        if config.rejects:
            _join(_files(folder, "rejects"), Path(config.rejects))
        _join(_files(folder, "part"), output)
        shutil.rmtree(folder, ignore_errors=True)
    log.info("%s: %s rows of model %s", output, f"{count:,}", predictor.version)


def _files(folder: Path, kind: str) -> list[Path]:
    return sorted(folder.glob(f"{kind}-*"))


def _begin(folder: Path, config: PredictConfig, version: str) -> None:
    """Keep the parts of an earlier run with the same input, model and columns."""
    path = Path(config.input)
    files = [(str(file), file.stat()) for file in (files_in(path) or [path]) if file.exists()]
    listed = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in files]
    settings = [config.data.encoding, config.data.columns, config.keep]
    wanted = f"{hashlib.sha256(repr((listed, settings)).encode()).hexdigest()} {version}"
    manifest = folder / "manifest"
    is_same = manifest.exists() and manifest.read_text("utf-8") == wanted
    is_whole = config.rejects or not any(one.stat().st_size for one in _files(folder, "rejects"))
    parts = _files(folder, "part")
    if is_same and is_whole and config.resume != "never":
        if parts:
            log.info("continuing after %d parts", len(parts))
        return
    for old in (*parts, *_files(folder, "rejects")):
        old.unlink()
    with new_file(manifest) as new:
        new.write_text(wanted, "utf-8")


def _written(job: Job, predictor: "Predictor", load: Load) -> Iterator[int]:
    """Write the missing parts; yield the number of rows of each part.

    Raises:
        ProjectError: A process was killed.
    """
    config, encoder = job.config, predictor.spec.encoder
    parts = in_batches(inputs(Path(config.input), config.data, encoder, setting="input"))
    tasks, header = deque(), []
    try:
        with _pool(config, predictor, load) as pool:
            for number, part in enumerate(parts):
                header = header or _header(part, config, predictor.spec.objective.prediction)
                if (job.folder / f"part-{number:08}").exists():
                    tasks.append(pool.submit(len, part))
                else:
                    tasks.append(pool.submit(_write, job, header, number, part))
                if len(tasks) > 2 * config.num_workers:
                    yield tasks.popleft().result()
            yield from (task.result() for task in tasks)
    except BrokenProcessPool as error:
        raise ProjectError("a process was killed; the same command continues") from error


def _header(part: Sequence[Input], config: PredictConfig, prediction: Any) -> list[str]:
    """Return the columns of an output whose first rows are `part`.

    Raises:
        ConfigError: `keep` names a column that is not there, or that the prediction has.
    """
    there = dict.fromkeys(name for row in part for name in row.columns)
    kept = list(dict.fromkeys(name for row in part for name in _cells(row, config)))
    is_there = there.keys() >= set(config.keep or ())
    require(is_there, "keep", f"some of the columns {', '.join(there)}", config.keep)
    predicted = [*prediction._fields, VERSION]
    is_free = not set(kept) & set(predicted)
    require(is_free, "keep", f"columns other than {', '.join(predicted)}", kept)
    return kept + predicted


def _cells(row: Input, config: PredictConfig) -> dict[str, Any]:
    """Return the cells of the output that come from the input."""
    kept = row.columns if config.keep is None else config.keep
    named = {name: row.columns[name] for name in kept if name in row.columns}
    return {name: value for name, value in named.items() if not isinstance(value, bytes)}


def _pool(config: PredictConfig, predictor: "Predictor", load: Load) -> Executor:
    """Return the processes that predict; a single one is a thread of this process."""
    if config.num_workers == 1:
        return ThreadPoolExecutor(1, initializer=_predictor.set, initargs=(predictor,))
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(config.num_workers, spawn, _start, (load,))


def _start(load: Load) -> None:
    """Load the model in a process that ends with the first one, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent: Any = multiprocessing.parent_process()
    Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
    _predictor.set(load())


def _write(job: Job, header: Sequence[str], number: int, part: Sequence[Input]) -> int:
    """Write a part and what it rejects; return its number of rows.

    Raises:
        DataError: A row cannot be predicted, and there is no file for it.
        ProjectError: The model was replaced since the run began.
    """
    config, predictor = job.config, _predictor.get()
    if predictor.version != job.version:
        raise ProjectError("the model was replaced in the meantime; run the same command again")
    answers, rejected = [], []
    for start in range(0, len(part), config.batch_size):
        batch = part[start : start + config.batch_size]
        loaded = [_loaded(row, predictor.spec.encoder) for row in batch]
        predictions = iter(predictor.predict([values for values, reason in loaded if not reason]))
        for row, (_, reason) in zip(batch, loaded, strict=True):
            if not reason:
                predicted = {**next(predictions)._asdict(), VERSION: job.version}
                answers.append(_cells(row, config) | predicted)
            elif config.rejects:
                rejected.append(_cells(row, config) | {"source": row.source, "reason": reason})
            else:
                hint = "`rejects=<file>` leaves out such rows"
                raise DataError(row.source, 0, f"cannot be predicted: {reason}; {hint}")
    _write_part(rejected, job.folder / f"rejects-{number:08}", suffix=".jsonl")
    path, suffix = job.folder / f"part-{number:08}", Path(config.output).suffix
    _write_part(answers, path, suffix=suffix, header=header, is_first=number == 0)
    return len(part)


def _loaded(row: Input, encoder: Encoder) -> tuple[Values, str]:
    """Return the values of a row, and why they cannot be predicted or an empty string."""
    try:
        values = encoder.load(row.values, row.folder)
    except ValueError as error:
        return row.values, str(error)
    return values, encoder.problem(values)


def _write_part(
    rows: Sequence[Values],
    path: Path,
    *,
    suffix: str,
    header: Sequence[str] = (),
    is_first: bool = False,
) -> None:
    """Write rows in a format; a CSV has the columns of `header`, and begins with it.

    Half of a surrogate pair, which UTF-8 does not have, is written as JSON escapes it.

    Raises:
        DataError: A row has other columns than a CSV, or Parquet cannot have the values of one.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with new_file(path) as new, new.open("w", -1, "utf-8", "backslashreplace", "") as file:
            if suffix == ".jsonl":
                file.writelines(f"{_json(row)}\n" for row in rows)
            elif suffix == ".csv":
                writer = csv.DictWriter(file, header, lineterminator="\n")
                if is_first:
                    writer.writeheader()
                writer.writerows({name: _cell(row[name]) for name in row} for row in rows)
            else:
                names = dict.fromkeys(name for row in rows for name in row)
                columns = {name: [row.get(name) for row in rows] for name in names}
                pq.write_table(pa.table(columns), new, compression="zstd")
    except (pa.ArrowException, OverflowError, ValueError) as error:
        raise DataError(path.name, 0, f"cannot be written ({error}); {REMEDY}") from error


def _join(parts: Sequence[Path], path: Path) -> None:
    """Write the rows of all parts to a file, which appears when it is complete.

    Raises:
        DataError: Parquet cannot have the values of a column.
    """
    with new_file(path) as new:
        if path.suffix == ".parquet":
            _join_parquet(parts, new)
            return
        with new.open("wb") as file:
            for part in parts:
                with part.open("rb") as opened:
                    shutil.copyfileobj(opened, file)


def _join_parquet(parts: Sequence[Path], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schemas = [pq.read_schema(part) for part in parts]
        schema = pa.unify_schemas(schemas, promote_options="permissive")
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for part in parts:
                tables = [schema.empty_table(), pq.read_table(part)]
                writer.write_table(pa.concat_tables(tables, promote_options="permissive"))
    except pa.ArrowException as error:
        raise DataError(path.name, 0, f"cannot be written ({error}); {REMEDY}") from error


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _cell(value: Any) -> Any:
    return _json(value) if isinstance(value, list | tuple | dict) else value
