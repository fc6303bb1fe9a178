"""The rows of a dataset in a Parquet file, which is written and read in batches."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from ..errors import ProjectError

if TYPE_CHECKING:
    import pyarrow as pa

Values = Mapping[str, Any]
"""The values of a row by column: str, int, float, bool, date, datetime, bytes or a list of these;
`None` if one is missing.

A column that stands for several of the user's holds a mapping from their names to their values."""

R = TypeVar("R", "Row", "Input")

ROWS_PER_BATCH, BYTES_PER_BATCH = 8192, 2**25
"""The size of the batches that are held in memory, at most; one row may be larger."""


class Detailed(dict[str, Any]):
    """The values of a row whose prediction shall have all details that the objective knows."""


class Row(NamedTuple):
    """One example."""

    values: Values
    group: str | None = None
    """Rows of one group stay in one split, unless splits are given; `None` for a row on its own."""
    id: str = ""
    """The value of the user's column `id`, or else `source`."""
    source: str = ""
    """Where the row comes from, as `data/external/mine.csv:17`."""
    split: str | None = None
    """The split that was given for the row."""
    time: Any = None
    """When the example arose."""


class Input(NamedTuple):
    """A row to predict."""

    values: Values
    """The columns that an encoder reads."""
    columns: Values
    """The user's columns."""
    source: str
    """Where the row comes from, as `data/external/mine.csv:17`."""
    folder: Path
    """What files that the row names are relative to."""


_INTERNAL = {f"_{name}": name for name in Row._fields[1:]}
"""The fields of a row by their columns in the file, beside those of its values."""


class DataError(ProjectError):
    """A row cannot be used, or the whole file if `line` is 0."""

    def __init__(self, path: Path | str, line: int, reason: str) -> None:
        super().__init__(f"{path}:{line}: {reason}" if line else f"{path} {reason}")
        self.path, self.line, self.reason = path, line, reason

    def __reduce__(self) -> tuple[Any, ...]:
        """Let another process raise it."""
        return type(self), (self.path, self.line, self.reason)


@dataclass(frozen=True)
class Rows:
    """The rows of a Parquet file, read anew in each iteration."""

    path: Path
    kept: np.ndarray | None = None
    """Whether each row of the file is one of these: [rows of the file], bool. `None` for all."""

    def __len__(self) -> int:
        if self.kept is not None:
            return int(self.kept.sum())
        import pyarrow.parquet as pq

        return pq.ParquetFile(self.path).metadata.num_rows

    def __iter__(self) -> Iterator[Row]:
        for batch in self._batches():
            yield from _rows_of(batch)

    def copy(self, path: Path) -> None:
        """Write values, groups and ids to another file."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        left_out = ("_source", "_split", "_time")
        fields = [field for field in pq.read_schema(self.path) if field.name not in left_out]
        with pq.ParquetWriter(path, pa.schema(fields), compression="zstd") as writer:
            for batch in self._batches():
                writer.write_batch(batch.select([field.name for field in fields]))

    def _batches(self) -> Iterator["pa.RecordBatch"]:
        start = 0
        for batch in _batches_of(self.path):
            stop = start + len(batch)
            kept = batch if self.kept is None else batch.filter(self.kept[start:stop])
            if len(kept):
                yield kept
            start = stop


def write_rows(rows: Iterable[Row], path: Path) -> int:
    """Write the rows; return their number.

    Raises:
        DataError: The values of a column have types that do not go together.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    number, schema, writer = 0, pa.schema([]), None
    try:
        for some in in_batches(rows):
            batch, source = _to_batch(some), some[0].source
            widened = _unified(schema, batch.schema, source)
            if writer is None or widened != schema:
                writer = _widen(writer, path, widened, source)
                schema = widened
            writer.write_batch(_cast(batch, schema, source))
            number += len(batch)
    finally:
        if writer:
            writer.close()
    if not number:
        pq.write_table(schema.empty_table(), path)
    return number


def in_batches(rows: Iterable[R]) -> Iterator[list[R]]:
    """Yield lists of rows that are no larger than `ROWS_PER_BATCH` and `BYTES_PER_BATCH`."""
    batch, size = [], 0
    for row in rows:
        batch.append(row)
        size += sum(len(one) for one in row.values.values() if isinstance(one, str | bytes))
        if len(batch) == ROWS_PER_BATCH or size > BYTES_PER_BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _to_batch(rows: list[Row]) -> "pa.RecordBatch":
    """Return rows as columns; an internal column without any value is left out."""
    import pyarrow as pa

    names = dict.fromkeys(name for row in rows for name in row.values)
    if clash := sorted(_INTERNAL.keys() & names):
        reason = f"the column {clash[0]} has a name that is used for other things; rename it"
        raise DataError(rows[0].source, 0, reason)
    columns = {name: [row.values.get(name) for row in rows] for name in names}
    for name, field in _INTERNAL.items():
        values = [getattr(row, field) for row in rows]
        if any(value is not None for value in values):
            columns[name] = values
    arrays = []
    for name, values in columns.items():
        try:
            arrays.append(pa.array(values))
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise _of_several_types(name, rows[0].source, error) from error
    return pa.RecordBatch.from_arrays(arrays, names=list(columns))


def _of_several_types(column: str, source: str, error: Exception) -> DataError:
    """Return the error of a batch of rows, of which `source` is the first."""
    return DataError(source, 0, f"the column {column} has values of several types ({error})")


def _unified(one: "pa.Schema", other: "pa.Schema", source: str) -> "pa.Schema":
    """Return the schema of values of both; whole numbers become float where others are."""
    import pyarrow as pa

    try:
        return pa.unify_schemas([one, other], promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        kinds = {field.name: field.type for field in one}
        name = next(each.name for each in other if kinds.get(each.name, each.type) != each.type)
        raise _of_several_types(name, source, error) from error


def _widen(writer: Any, path: Path, schema: "pa.Schema", source: str) -> Any:
    """Return a writer of the file with another schema, which has the rows written so far."""
    import pyarrow.parquet as pq

    if writer is None:
        path.touch()  # where this fails, the error has the name of the file
        return pq.ParquetWriter(path, schema, compression="zstd")
    writer.close()
    old = path.with_name(f"{path.name}.narrow")
    path.rename(old)
    wider = pq.ParquetWriter(path, schema, compression="zstd")
    try:
        for batch in _batches_of(old):
            wider.write_batch(_cast(batch, schema, source))
    finally:
        old.unlink()
    return wider


def _cast(batch: "pa.RecordBatch", schema: "pa.Schema", source: str) -> "pa.RecordBatch":
    """Return the batch with the columns of the schema, those that it lacks without values."""
    import pyarrow as pa

    there, arrays = set(batch.schema.names), []
    for field in schema:
        try:
            arrays.append(
                batch.column(field.name).cast(field.type)
                if field.name in there
                else pa.nulls(len(batch), field.type)
            )
        except pa.ArrowInvalid as error:  # a whole number that float has not
            raise _of_several_types(field.name, source, error) from error
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _batches_of(path: Path) -> Iterator["pa.RecordBatch"]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):  # a batch of several would be too large
                yield from file.iter_batches(batch_size=ROWS_PER_BATCH, row_groups=[group])
    except FileNotFoundError as error:
        raise DataError(path, 0, "does not exist; run `make fetch`") from error
    except (OSError, pa.ArrowException) as error:
        raise DataError(path, 0, f"cannot be read ({error}); run `make fetch`") from error


def _rows_of(batch: "pa.RecordBatch") -> Iterator[Row]:
    columns = {name: batch.column(name).to_pylist() for name in batch.schema.names}
    facts = [
        columns.pop(name, repeat(Row._field_defaults[field], len(batch)))
        for name, field in _INTERNAL.items()
    ]
    names = list(columns)
    rows = zip(*columns.values(), strict=True) if columns else repeat((), len(batch))
    for cells, *others in zip(rows, *facts, strict=True):
        yield Row(dict(zip(names, cells, strict=True)), *others)
