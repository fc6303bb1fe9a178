"""Rows to tensors: duplicates removed, split by group, encoded, written to data/processed/."""

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ..artifacts import new_folder
from ..config import DataConfig
from ..errors import ProjectError
from .dataset import Split
from .rows import Row, write_csv
from .spec import DataSpec
from .splitting import split_groups
from .text import TextEncoder

ENCODER_JSON = "encoder.json"


class SplitName(StrEnum):
    """The parts of a dataset."""

    train = "train"
    validation = "validation"
    test = "test"


@dataclass(frozen=True)
class Processed:
    """A dataset that is ready to be trained on."""

    rows: dict[SplitName, list[Row]]
    encoder: TextEncoder
    spec: DataSpec

    def split(self, name: SplitName) -> Split:
        """Return the encoded rows of a split."""
        class_of = {label: index for index, label in enumerate(self.spec.labels)}
        rows = self.rows[name]
        return Split.from_rows(
            [self.encoder.encode(row.text) for row in rows], [class_of[row.label] for row in rows]
        )

    def save(self, folder: Path, *, group_column: str) -> None:
        """Replace `folder` with the splits as CSV and as tensors, the encoder and the spec."""
        with new_folder(folder) as new:
            for name, rows in self.rows.items():
                write_csv(rows, new / f"{name}.csv", group_column=group_column)
                self.split(name).save(new / f"{name}.safetensors")
            encoder = json.dumps(self.encoder.to_dict(), ensure_ascii=False)
            (new / ENCODER_JSON).write_text(encoder + "\n", "utf-8")
            self.spec.save(new)


def preprocess(rows: list[Row], config: DataConfig) -> Processed:
    """Return `rows` without duplicates, split, with an encoder fitted on the training split.

    Raises:
        ProjectError: A label has too few groups to be in every split.
    """
    splits = split_rows(drop_duplicates(rows), config)
    training_texts = [row.text for row in splits[SplitName.train]]
    encoder = TextEncoder.fit(
        training_texts, max_tokens=config.max_tokens, min_count=config.min_count
    )
    labels = tuple(sorted({row.label for row in rows}))
    spec = DataSpec("text", labels, encoder.num_embeddings, config.max_tokens)
    return Processed(splits, encoder, spec)


def drop_duplicates(rows: list[Row]) -> list[Row]:
    """Return the first row of each text."""
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(row.text, row)
    return list(first.values())


def split_rows(rows: list[Row], config: DataConfig) -> dict[SplitName, list[Row]]:
    """Return the rows of each split, in the order they came."""
    held_out = config.validation_fraction, config.test_fraction
    split_of = split_groups(
        [row.label for row in rows],
        [row.group for row in rows],
        fractions=(1 - sum(held_out), *held_out),
        seed=config.split_seed,
    )
    splits = {
        name: [row for row, split in zip(rows, split_of, strict=True) if split == index]
        for index, name in enumerate(SplitName)
    }
    _require_labels(splits)
    return splits


def _require_labels(splits: dict[SplitName, list[Row]]) -> None:
    labels = {row.label for rows in splits.values() for row in rows}
    for name, rows in splits.items():
        if missing := sorted(labels - {row.label for row in rows}):
            raise ProjectError(
                f"label {missing[0]!r} has no row in the {name} split; it needs more rows "
                "(or groups), or another data.split_seed"
            )


def load_encoder(folder: Path) -> TextEncoder:
    """Return the encoder that `Processed.save` wrote."""
    return TextEncoder.from_dict(json.loads((folder / ENCODER_JSON).read_text("utf-8")))
