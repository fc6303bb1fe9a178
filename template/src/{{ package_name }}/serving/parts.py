"""A table written in parts, each a file, which are joined to a CSV, JSON lines or Parquet file."""

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..artifacts import new_file
from ..data.rows import DataError, Values

REMEDY = "choose columns with `keep`, or write a .jsonl file"


def write_part(
    rows: Sequence[Values],
    path: Path,
    *,
    suffix: str,
    header: Sequence[str] = (),
    is_first: bool = False,
) -> None:
    """Write rows in a format; a CSV has the columns of `header`, and begins with it.

    Raises:
        DataError: A row has other columns than a CSV, or Parquet cannot have the values of one.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with new_file(path) as new, new.open("w", encoding="utf-8", newline="") as file:
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


def join(parts: Sequence[Path], path: Path) -> None:
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
