"""What the transaction logs of offline runs hold."""

import json
from collections.abc import Iterator
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from struct import Struct
from typing import Any

import wandb
from toy_project.tracking.wandb.tracker import EXIT_CODES

# The module takes its names from another, by the version of protobuf.
RECORDS: Any = import_module("wandb.proto.wandb_internal_pb2")
HEADER = Struct("<IHB")
"""Of a part of a record: its checksum, its length, and which part it is. The log's has its size."""
BLOCK_SIZE = 32768
FULL, LAST = 1, 4


class Recording:
    """One folder of an offline run, read back."""

    def __init__(self, path: Path) -> None:
        records = list(_records(path))
        [run] = [record.run for record in records if record.HasField("run")]
        self.run_id: str = run.run_id
        self.name: str = run.display_name
        self.project: str = run.project
        self.began: float = run.start_time.ToNanoseconds()
        [code] = [record.exit.exit_code for record in records if record.HasField("exit")]
        self.status = {code: status for status, code in EXIT_CODES.items()}[code]
        self.has_stats = any(record.HasField("stats") for record in records)
        self.artifacts = [record.artifact for record in records if record.HasField("artifact")]
        self.config = {
            item.key: json.loads(item.value_json)
            for record in records
            if record.HasField("config")
            for item in record.config.update
        }
        self.history = [
            {
                (item.key or ".".join(item.nested_key)): json.loads(item.value_json)
                for item in record.history.item
            }
            for record in records
            if record.HasField("history")
        ]
        self.x_axes = {
            record.metric.glob_name or record.metric.name: record.metric.step_metric
            for record in records
            if record.HasField("metric")
        }


def recordings(folder: Path = Path("wandb")) -> list[Recording]:
    """Return what lies in each run's folder, in the order in which they began."""
    wandb.teardown()  # an ended run may still be on its way into its file
    logs = folder.glob("offline-run-*/*.wandb")
    return sorted(map(Recording, logs), key=attrgetter("began"))


def _records(path: Path) -> Iterator[Any]:
    """Read a transaction log, which is in LevelDB's format with a header of its own.

    See https://github.com/google/leveldb/blob/main/doc/log_format.md.
    """
    log, position, record = path.read_bytes(), HEADER.size, b""
    while position < len(log):
        if BLOCK_SIZE - position % BLOCK_SIZE < HEADER.size:
            position += BLOCK_SIZE - position % BLOCK_SIZE  # no header fits: zeros
            continue
        _, length, part = HEADER.unpack_from(log, position)
        position += HEADER.size
        record += log[position : position + length]
        position += length
        if part in (FULL, LAST):
            yield RECORDS.Record.FromString(record)
            record = b""
