"""Preprocessing: remove duplicates, split by group, encode and write to data/processed/."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from ..config import Config, DataConfig
from ..errors import ProjectError
from ..objectives.base import Objective, objective_class, objective_settings
from .dataset import Split
from .encoder import encoder_class, encoder_settings
from .rows import Row, read_csv, write_csv
from .spec import DataSpec


class SplitName(StrEnum):
    """The parts of a dataset."""

    train = "train"
    validation = "validation"
    test = "test"


@dataclass(frozen=True)
class Processed:
    """A dataset, split and encoded."""

    rows: dict[SplitName, list[Row]]
    spec: DataSpec

    def split(self, name: SplitName) -> Split:
        """Return the encoded rows of a split."""
        rows = [row.values for row in self.rows[name]]
        targets = self.spec.objective.encode(rows)
        return Split.from_rows(map(self.spec.encoder.encode, rows), targets)

    def save(self, folder: Path, *, group_column: str) -> None:
        """Write the splits as CSV and as tensors, and the spec."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in self.rows.items():
            written = ({**row.values, group_column: row.group} for row in rows)
            write_csv(written, folder / f"{name}.csv")
            self.split(name).save(folder / f"{name}.safetensors")
        self.spec.save(folder)


def read_rows(path: Path, config: Config) -> list[Row]:
    """Return the rows of a CSV, checked by the encoder and the objective that `config` names.

    Raises:
        DataError: One of them cannot be used.
    """
    encoder = encoder_class(config.data.encoder["name"])
    objective = objective_class(config.objective["name"])
    settings = objective_settings(config.objective)
    return read_csv(
        path,
        (*encoder.columns, *objective.columns),
        group_column=config.data.columns.get("group", "group"),
        problem=lambda values: encoder.problem(values) or objective.problem(values, settings),
    )


def preprocess(rows: list[Row], config: Config) -> Processed:
    """Return `rows` without duplicates, split, with the encoder and objective fitted to training.

    Raises:
        ProjectError: A label has too few groups to be in every split.
    """
    encoder = encoder_class(config.data.encoder["name"])
    objective = objective_class(config.objective["name"])
    splits = split_rows(drop_duplicates(rows, encoder.columns), config.data, objective)
    training = [row.values for row in splits[SplitName.train]]
    spec = DataSpec(
        encoder.fit(training, encoder_settings(config.data.encoder)),
        objective.fit(training, objective_settings(config.objective)),
    )
    return Processed(splits, spec)


def drop_duplicates(rows: list[Row], columns: Sequence[str]) -> list[Row]:
    """Return the rows without later ones that have the same inputs."""
    first: dict[tuple[str, ...], Row] = {}
    for row in rows:
        first.setdefault(tuple(row.values[name] for name in columns), row)
    return list(first.values())


def split_rows(
    rows: list[Row], config: DataConfig, objective: type[Objective]
) -> dict[SplitName, list[Row]]:
    """Return the rows of each split, in their original order.

    Raises:
        ProjectError: A stratum of the objective, such as a label, is not in every split.
    """
    held_out = config.validation_fraction, config.test_fraction
    strata = [objective.stratum(row.values) for row in rows]
    split_of = split_groups(
        strata,
        [row.group for row in rows],
        fractions=(1 - sum(held_out), *held_out),
        seed=config.split_seed,
    )
    splits = {
        name: [row for row, split in zip(rows, split_of, strict=True) if split == index]
        for index, name in enumerate(SplitName)
    }
    for name, there in splits.items():
        if missing := set(strata) - {objective.stratum(row.values) for row in there}:
            raise ProjectError(
                f"{' and '.join(objective.columns)} {min(missing)!r} has no row in the {name} "
                "split; it needs more rows (or groups), or another data.split_seed"
            )
    return splits


def split_groups(
    labels: Sequence[Hashable],
    groups: Sequence[Hashable],
    *,
    fractions: Sequence[float],
    seed: int,
) -> np.ndarray:
    """Return the split (0, 1, 2, …) of each row, without leakage of near-duplicates in a group.

    Groups stay whole, and labels are in proportion to `fractions`. Greedy: each group, from large
    to small and in seeded order among similar sizes, joins the split that lacks most of its labels.
    If every group has one label, a label with at least as many groups as splits is in each split.
    """
    _, group_of = np.unique(np.asarray(groups), return_inverse=True)
    _, label_of = np.unique(np.asarray(labels), return_inverse=True)
    counts = np.zeros((group_of.max() + 1, label_of.max() + 1))  # [groups, labels]
    np.add.at(counts, (group_of, label_of), 1)

    wanted = np.outer(fractions, counts.sum(axis=0))  # [splits, labels]
    held = np.zeros_like(wanted)
    split_of = np.empty(len(counts), dtype=np.int64)
    for group in _large_first(counts.sum(axis=1), seed=seed):
        split = np.argmax((1 - held / wanted) @ counts[group])
        split_of[group] = split
        held[split] += counts[group]
    return split_of[group_of]


def _large_first(sizes: np.ndarray, *, seed: int) -> np.ndarray:
    """Return the groups from large to small, shuffled among sizes with the same power of two."""
    shuffled = np.random.default_rng(seed).permutation(len(sizes))
    return shuffled[np.argsort(-np.floor(np.log2(sizes[shuffled])), kind="stable")]
