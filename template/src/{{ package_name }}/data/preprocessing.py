"""Rows to tensors: duplicates removed, split by group, encoded, written to data/processed/."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ..artifacts import new_folder
from ..config import Config, DataConfig
from ..errors import ProjectError
from ..objectives.base import Objective, objective_class, objective_settings
from .dataset import Split
from .encoder import encoder_class, fit_encoder
from .rows import Row, write_csv
from .spec import DataSpec
from .splitting import split_groups
from .validation import read_csv


class SplitName(StrEnum):
    """The parts of a dataset."""

    train = "train"
    validation = "validation"
    test = "test"


@dataclass(frozen=True)
class Processed:
    """A dataset that is ready to be trained on."""

    rows: dict[SplitName, list[Row]]
    spec: DataSpec

    def split(self, name: SplitName) -> Split:
        """Return the encoded rows of a split."""
        rows = [row.values for row in self.rows[name]]
        targets = self.spec.objective.encode(rows)
        return Split.from_rows(map(self.spec.encoder.encode, rows), targets)

    def save(self, folder: Path, *, group_column: str) -> None:
        """Replace `folder` with the splits as CSV and as tensors, and the spec."""
        with new_folder(folder) as new:
            for name, rows in self.rows.items():
                written = ({**row.values, group_column: row.group} for row in rows)
                write_csv(written, new / f"{name}.csv")
                self.split(name).save(new / f"{name}.safetensors")
            self.spec.save(new)


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
        columns=(*encoder.columns, *objective.columns),
        group_column=config.data.group_column,
        problem=lambda values: encoder.problem(values) or objective.problem(values, settings),
    )


def preprocess(rows: list[Row], config: Config) -> Processed:
    """Return `rows` without duplicates, split, with what was fitted on the training split.

    Raises:
        ProjectError: A label has too few groups to be in every split.
    """
    objective = objective_class(config.objective["name"])
    unique = drop_duplicates(rows, encoder_class(config.data.encoder["name"]).columns)
    splits = split_rows(unique, config.data, objective)
    training = [row.values for row in splits[SplitName.train]]
    fitted = objective.fit(training, objective_settings(config.objective))
    return Processed(splits, DataSpec(fit_encoder(training, config.data), fitted))


def drop_duplicates(rows: list[Row], columns: Sequence[str]) -> list[Row]:
    """Return the first row of those with the same inputs."""
    first: dict[tuple[str, ...], Row] = {}
    for row in rows:
        first.setdefault(tuple(row.values[name] for name in columns), row)
    return list(first.values())


def split_rows(
    rows: list[Row], config: DataConfig, objective: type[Objective]
) -> dict[SplitName, list[Row]]:
    """Return the rows of each split, in the order they came.

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
    for index, name in enumerate(SplitName):
        there = {stratum for stratum, split in zip(strata, split_of, strict=True) if split == index}
        if missing := sorted(set(strata) - there):
            raise ProjectError(
                f"{' and '.join(objective.columns)} {missing[0]!r} has no row in the {name} split; "
                "it needs more rows (or groups), or another data.split_seed"
            )
    return {
        name: [row for row, split in zip(rows, split_of, strict=True) if split == index]
        for index, name in enumerate(SplitName)
    }
