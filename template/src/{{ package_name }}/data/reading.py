"""The rows of a dataset: from files of the user, or from data/<name>.py."""

import codecs
import csv
import io
import json
import logging
import math
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain, islice, tee, zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from ..config import Config, DataConfig, SplitBy
from ..lookup import find_function
from ..objectives.base import objective_class, target_columns
from ..rules import require, require_known
from .encoder import Encoder, encoder_class, files_in
from .rows import DataError, Input, Row, Values

MAX_FIELD_SIZE = 10_000_000
"""Characters of one field, at most; the csv module's own limit is 131,072."""

FACTS = ("group", "split", "time", "id")
"""The columns that say something of a row which is not for the model."""

_PEEKED = 1000
"""Rows whose columns are compared with those that are needed; a line of JSON may lack one."""

_DELIMITED = {".csv": None, ".tsv": "\t", ".tab": "\t", ".txt": None}
_JSON, _PARQUET = (".jsonl", ".ndjson", ".json"), (".parquet", ".pq")
_COMPRESSED = (".gz", ".bz2", ".zst", ".lz4")
KINDS = (*_DELIMITED, *_JSON, *_PARQUET)

log = logging.getLogger(__name__)

Found = Iterator[tuple[str, Values]]
"""Rows with the user's columns, each after its source: `data/external/mine.csv:17`."""


class Columns(NamedTuple):
    """Which columns of the user become which of a row."""

    values: dict[str, str | list[str]]
    """The user's column, or columns, of each that a piece needs."""
    facts: dict[str, str]
    """The user's column of each fact."""
    takes_others: bool
    """Whether other columns are inputs too."""
    unused: frozenset[str]
    """Columns that only other objectives need, which are no inputs."""


def dataset(config: Config) -> Iterator[Row]:
    """Yield the rows that `config.data` describes, with the columns that its pieces need.

    Raises:
        ConfigError: A setting names a file or a column that is not there.
        DataError: A file cannot be read.
    """
    data = config.data
    encoder = encoder_class(data.encoder["name"])
    columns = _columns(config, encoder)
    if data.path is None:
        rows = find_function("rows", folder="data", name=data.name, setting="data.name")
        found = ((f"{data.name}:{number}", row) for number, row in enumerate(rows(), start=1))
        yield from _renamed(found, data.name, columns)
        return
    paths = data.path if isinstance(data.path, dict) else {None: data.path}
    for split, path in paths.items():
        for row in _of_path(Path(path), data.encoding, columns, encoder):
            yield row if split is None else row._replace(split=split)


def inputs(path: Path, data: DataConfig, encoder: Encoder, *, setting: str) -> Iterator[Input]:
    """Yield the rows of a file or a folder with the columns that a fitted encoder reads.

    Those of a folder have their file and line among the user's columns, as `source`.

    Raises:
        ConfigError: `path`, the value of `setting`, is no such file or folder.
        DataError: A file cannot be read, or lacks a column.
    """
    names = {name: data.columns.get(name, name) for name in encoder.example}
    columns = Columns(names, {}, takes_others=False, unused=frozenset())
    is_folder = path.is_dir()
    for origin, found in _tables(path, data.encoding, type(encoder), setting=setting):
        originals, copies = tee(found)
        rows = _renamed(copies, origin, columns)
        for (source, original), row in zip(originals, rows, strict=True):
            shown = {"source": source, **original} if is_folder else original
            yield Input(row.values, shown, source, origin.parent)


def _columns(config: Config, encoder: type[Encoder]) -> Columns:
    needed = (*encoder.columns, *objective_class(config.objective["name"]).columns)
    chosen, by = config.data.columns, config.data.split
    known = dict.fromkeys((*needed, *target_columns(), *FACTS))
    for name in chosen:
        require_known(name, known, section="data.columns")
    facts = {name: chosen[name] for name in FACTS if name in chosen}
    if by is SplitBy.time:
        facts.setdefault("time", "time")
    if by is SplitBy.given and not isinstance(config.data.path, dict):
        facts.setdefault("split", "split")
    return Columns(
        {name: chosen.get(name, name) for name in needed},
        facts,
        encoder.takes_others,
        frozenset(chain.from_iterable(map(_listed, chosen.values()))),
    )


def _of_path(path: Path, encoding: str, columns: Columns, encoder: type[Encoder]) -> Iterator[Row]:
    """Yield the rows of a file, or of a folder of tables or of examples."""
    for origin, found in _tables(path, encoding, encoder, setting="data.path"):
        for row in _renamed(found, origin, columns):
            try:
                yield row._replace(values=encoder.load(row.values, origin.parent))
            except ValueError as error:
                raise DataError(row.source, 0, f"cannot be used: {error}") from error


def _tables(
    path: Path, encoding: str, encoder: type[Encoder], *, setting: str
) -> Iterator[tuple[Path, Found]]:
    """Yield the rows of each table after its path; a folder of examples is one table."""
    if path.is_dir() and (examples := encoder.read_folder(path)) is not None:
        yield path, examples
        return
    files = [path]
    if path.is_dir():
        files = [file for file in files_in(path) if _kind(file) in KINDS]
    is_there = bool(files) and files[0].is_file()
    require(is_there, setting, "a file, or a folder with files, of rows", str(path))
    is_known = _kind(files[0]) in KINDS
    require(is_known, setting, f"a file whose name ends in {', '.join(KINDS)}", str(path))
    for file in files:
        lines = read_file(file, encoding=encoding)
        yield file, ((f"{file}:{line}", values) for line, values in lines)


def _renamed(found: Found, origin: Path | str, columns: Columns) -> Iterator[Row]:
    """Yield the rows under the names that pieces know; `origin` is their file or module.

    The columns of a table are those of its first rows. Others have them all in the first row, which
    may be an image of many megabytes.
    """
    is_table = isinstance(origin, Path) and origin.is_file()
    first = list(islice(found, _PEEKED if is_table else 1))
    there = list(dict.fromkeys(name for _, values in first for name in values))
    facts = {name: column for name, column in columns.facts.items() if column in there}
    _check_present(columns, there, origin)
    used = {*chain.from_iterable(map(_listed, columns.values.values())), *columns.facts.values()}
    not_inputs = used | columns.unused | columns.values.keys() | {""}
    for source, values in chain(first, found):
        row = {name: _picked(values, names) for name, names in columns.values.items()}
        if columns.takes_others:
            row |= {name: value for name, value in values.items() if name not in not_inputs}
        known = {name: _fact(name, values.get(column)) for name, column in facts.items()}
        yield Row(row, source=source, **{"id": source, **known})


def _check_present(columns: Columns, there: list[str], origin: Path | str) -> None:
    """Raise a DataError if the data lacks a column without which no row can be used."""
    if not there:
        raise DataError(origin, 0, "has no rows")
    for name, names in {**columns.values, **columns.facts}.items():
        if not (absent := [one for one in _listed(names) if one not in there]):
            continue
        if name == "group":
            log.warning("%s has no column %s: each row is a group of its own", origin, *absent)
            continue
        what = f"has no column {' and '.join(absent)}; set data.columns.{name} to one of "
        raise DataError(origin, 0, what + ", ".join(map(str, there)))


def _listed(names: str | list[str]) -> list[str]:
    return names if isinstance(names, list) else [names]


def _picked(values: Values, names: str | list[str]) -> Any:
    """Return the value of a column, or of several by their names."""
    if not isinstance(names, list):
        return values.get(names)
    picked = {name: values.get(name) for name in names}
    return picked if any(value is not None for value in picked.values()) else None


def _fact(name: str, value: Any) -> Any:
    return value if value is None or name == "time" else str(value)


def read_file(path: Path, *, encoding: str = "auto") -> Iterator[tuple[int, Values]]:
    """Yield the line, or the row of a Parquet file, and the values of each row of a table.

    In text files values are strings without white space at the ends, and an empty one is `None`,
    as is NaN in others.

    Raises:
        ConfigError: The name of the file says nothing of its format.
        DataError: It cannot be read; the error has the line.
    """
    kind = _kind(path)
    require(kind in KINDS, "data.path", f"a file whose name ends in {', '.join(KINDS)}", str(path))
    try:
        if kind in _PARQUET:
            yield from _parquet_rows(path)
            return
        found = _checked_encoding(path, encoding)
        with _opened(path) as raw, io.TextIOWrapper(raw, encoding=found, newline="") as text:
            yield from _json_rows(path, text) if kind in _JSON else _csv_rows(path, kind, text)
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        raise DataError(path, 0, f"cannot be read ({reason})") from error


def _kind(path: Path) -> str:
    """Return the suffix that tells a file's format; that of its compression comes after it."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix in _COMPRESSED else suffix


def _opened(path: Path) -> Any:
    """Return the content of a file, decompressed, as a binary stream."""
    import pyarrow as pa

    return io.BufferedReader(pa.input_stream(str(path), compression="detect"))


def _checked_encoding(path: Path, encoding: str) -> str:
    """Return the encoding of a text file, after all of it was decoded.

    Raises:
        DataError: It is damaged, or has another encoding than the one set.
    """
    if encoding != "auto":
        _check_text(path, encoding)
        return encoding
    with _opened(path) as file:
        start = file.read(4096)
    if found := _encoding_of(start):
        _check_text(path, found)
        return found
    try:
        _check_text(path, "utf-8-sig")
    except EncodingError as error:
        with suppress(EncodingError):
            _check_text(path, "cp1252")
            log.warning("%s; read as Windows-1252: set data.encoding if it is another", error)
            return "cp1252"
        raise
    return "utf-8-sig"


class EncodingError(DataError):
    """A line has bytes that its encoding does not have."""


def _encoding_of(start: bytes) -> str:
    """Return the encoding that the first bytes of a file reveal, or an empty string."""
    if start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    for name, zeros in ("utf-16-le", start[1::2]), ("utf-16-be", start[::2]):
        if zeros.count(0) > 0.4 * len(start) / 2:
            return name
    return ""


def _check_text(path: Path, encoding: str) -> None:
    """Raise a DataError at the first line that is damaged or has another encoding."""
    line = 0
    with _opened(path) as raw, io.TextIOWrapper(raw, encoding=encoding, newline="\n") as lines:
        try:
            for line, text in enumerate(lines, start=1):
                if "\0" in text:
                    raise DataError(path, line, "a NUL byte, which text does not have")
                if "\r" in text.removesuffix("\r\n"):
                    reason = "a carriage return without a line feed; lines end with LF or CRLF"
                    raise DataError(path, line, reason)
        except UnicodeDecodeError as error:
            # The bytes that are decoded next follow the last line.
            line += 1 + error.object[: error.start].decode(encoding, "ignore").count("\n")
            reason = f"byte {error.object[error.start]:#04x} is not {encoding.upper()}"
            raise EncodingError(path, line, reason.replace("-SIG", "")) from error
        except UnicodeError as error:
            raise EncodingError(path, 1, str(error)) from error


def _csv_rows(path: Path, kind: str, text: io.TextIOWrapper) -> Iterator[tuple[int, Values]]:
    csv.field_size_limit(MAX_FIELD_SIZE)
    first = text.readline()
    unquoted = re.sub('"[^"]*"', "", first)
    delimiter = _DELIMITED[kind] or max(",;\t|", key=unquoted.count)
    reader = csv.reader(chain([first], text), delimiter=delimiter, strict=True)
    line = 1
    try:
        header = [name.strip() for name in next(reader)]
        if twice := sorted({name for name in header if name and header.count(name) > 1}):
            raise DataError(path, line, f"there are two columns {twice[0]}")
        line = reader.line_num + 1
        for cells in reader:
            if len(cells) > len(header):
                reason = f"{len(cells)} cells in a table of {len(header)} columns"
                raise DataError(path, line, reason)
            if cells:
                pairs = zip_longest(header, cells, fillvalue="")
                yield line, {name: cell.strip() or None for name, cell in pairs}
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(path, line, f"not valid CSV ({error})") from error


def _json_rows(path: Path, lines: Iterable[str]) -> Iterator[tuple[int, Values]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (RecursionError, ValueError) as error:
            raise DataError(path, number, f"not valid JSON ({error})") from error
        if not isinstance(values, dict):
            raise DataError(path, number, "not a JSON object; each line is one, {column: value}")
        yield number, {name: _cleaned(value) for name, value in values.items()}


def _parquet_rows(path: Path) -> Iterator[tuple[int, Values]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_PEEKED):
                for values in batch.to_pylist():
                    number += 1
                    yield number, {name: _cleaned(value) for name, value in values.items()}
    except (pa.ArrowException, ValueError) as error:
        raise DataError(path, 0, f"cannot be read ({error})") from error


def _cleaned(value: Any) -> Any:
    """Return a value without white space at its ends; `None` if nothing is left, or for NaN."""
    if isinstance(value, str):
        return value.strip() or None
    return None if isinstance(value, float) and math.isnan(value) else value
