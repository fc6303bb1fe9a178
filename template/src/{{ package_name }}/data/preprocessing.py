"""Preprocessing: check the rows, split them, encode them and write them to data/processed/."""

import hashlib
import logging
import math
from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ..config import Config, DataConfig, OnDuplicate, OnMissing, SplitBy
from ..errors import ProjectError
from ..objectives.base import Objective, objective_class, objective_settings
from .dataset import write_split
from .encoder import Encoder, encoder_class, encoder_settings
from .rows import Row, Rows, Values
from .spec import DataSpec
from .splitting import largest_in_group, split_at_random, split_by_time

LISTED = 5
"""Rows that a message names; it counts the others."""
NUM_PARTS = 16
"""Parts in which rows are sorted, since NumPy takes up to 24 bytes for each row that it sorts."""

log = logging.getLogger(__name__)


class SplitName(StrEnum):
    """The parts of a dataset."""

    train = "train"
    validation = "validation"
    test = "test"


@dataclass(frozen=True)
class Processed:
    """A dataset, split, with the encoder and the objective fitted to its training split."""

    rows: dict[SplitName, Rows]
    spec: DataSpec

    def save(self, folder: Path) -> None:
        """Write the splits as Parquet and as tensors, and the spec; memory holds few rows."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in self.rows.items():
            rows.copy(folder / f"{name}.parquet")
            write_split(self._encoded(rows), folder / f"{name}.safetensors")
        self.spec.save(folder)

    def _encoded(self, rows: Rows) -> Iterator[tuple[list[Any], np.ndarray]]:
        encoder, objective = self.spec.encoder, self.spec.objective
        values = iter(ValuesOf(rows))
        while True:
            # Encoded one by one, since 128 photographs as files take much more memory than encoded.
            pairs = [
                (encoder.encode(row), {name: row[name] for name in objective.columns})
                for row in islice(values, 128)
            ]
            if not pairs:
                return
            encoded, targets = zip(*pairs, strict=True)
            yield list(encoded), objective.encode(targets)


def preprocess(path: Path, config: Config) -> Processed:
    """Return the rows of a Parquet file, checked and split, with what was fitted to training.

    Raises:
        DataError: Rows cannot be used.
        ProjectError: A label has too few groups to be in every split.
    """
    encoder = encoder_class(config.data.encoder["name"])
    objective = objective_class(config.objective["name"])
    survey = _survey(Rows(path), config, encoder, objective)
    survey = _without_duplicates(survey, Rows(path), config.data)
    split_of = _assigned(survey, config.data)
    _check_strata(survey, split_of, config.data, objective)
    rows = {name: Rows(path, split_of == index) for index, name in enumerate(SplitName)}
    training = rows[SplitName.train]
    inputs = ValuesOf(training, without=objective.columns)
    spec = DataSpec(
        encoder.fit(inputs, encoder_settings(config.data.encoder)),
        objective.fit(ValuesOf(training), objective_settings(config.objective)),
    )
    return Processed(rows, spec)


@dataclass(frozen=True)
class ValuesOf:
    """The values of rows, read anew in each iteration."""

    rows: Rows
    without: Sequence[str] = ()
    """Columns that are left out."""

    def __iter__(self) -> Iterator[Values]:
        for row in self.rows:
            yield {name: one for name, one in row.values.items() if name not in self.without}


class Found:
    """Rows with a problem: their number, and the first ones."""

    def __init__(self) -> None:
        self.number = 0
        self.first: list[tuple[str, str]] = []

    def add(self, source: str, reason: str) -> None:
        """Count a row."""
        self.number += 1
        if self.number <= LISTED:
            self.first.append((source, reason))

    def __str__(self) -> str:
        """Name the first rows, and count the others."""
        others = self.number - len(self.first)
        listed = "; ".join(f"{source}: {reason}" for source, reason in self.first)
        return f"{listed}; and {others} more" if others else listed


@dataclass(frozen=True)
class Survey:
    """What decides where each row goes: some bytes a row, however large the rows are."""

    is_kept: np.ndarray
    """Whether a row is used: [rows], bool."""
    inputs: np.ndarray
    """A hash of a row's inputs: [rows], uint64; empty once duplicates are out. Of ten million rows
    two share one by chance with odds of 1 to 300,000."""
    strata: np.ndarray
    """Index of a row's stratum in `names`: [rows], the smallest unsigned type that holds them."""
    names: list[str]
    """The strata, sorted."""
    groups: np.ndarray | None
    """A number for each group, in the order of their sorted names: [rows], int32."""
    places: np.ndarray
    """The time of each row, or the index of the split that was given for it: [rows], float64.
    Empty where rows are split at random."""


class Codes:
    """Numbers that stand for the values of a column."""

    def __init__(self) -> None:
        self.codes = array("i")
        self.code_of: dict[str, int] = {}

    def append(self, value: str | None) -> None:
        """Add a row; `None` differs from every other row."""
        code = -1 if value is None else self.code_of.setdefault(value, len(self.code_of))
        self.codes.append(code)

    def ranked(self) -> tuple[list[str], np.ndarray]:
        """Return the sorted values, and the index of each row's value: [rows], int32."""
        names = sorted(self.code_of)
        rank = np.full(len(names) + 1, -1, dtype=np.int32)
        rank[[self.code_of[name] for name in names]] = np.arange(len(names))
        ranked = np.frombuffer(self.codes, dtype=np.int32).copy()
        for part in np.array_split(ranked, NUM_PARTS):
            part[:] = rank[part]
        is_alone = ranked == -1
        ranked[is_alone] = np.arange(len(names), len(names) + is_alone.sum())
        return names, ranked


def _survey(
    rows: Rows, config: Config, encoder: type[Encoder], objective: type[Objective]
) -> Survey:
    """Check every row.

    Raises:
        UnusableError: Rows cannot be used.
    """
    settings, by = objective_settings(config.objective), _split_by(config.data)
    needed = (*encoder.columns, *objective.columns)
    is_kept, inputs, places = array("b"), array("Q"), array("d")
    strata, groups = Codes(), Codes()
    refused, left_out, hint = Found(), Found(), ""
    drops = config.data.on_missing is OnMissing.drop
    for row in rows:
        reason = encoder.problem(row.values) or objective.problem(row.values, settings)
        if by is not SplitBy.random:
            place, misplaced = _place(row, by)
            places.append(place)
            reason = reason or misplaced
        if reason:
            lacks = _lacks_value(row, needed, by)
            (left_out if lacks and drops else refused).add(row.source, reason)
            if lacks and not drops:
                hint = "; data.on_missing=drop leaves out rows that lack a value"
        is_kept.append(not reason)
        inputs.append(0 if reason else _hash(row.values, encoder, objective))
        strata.append("" if reason else objective.stratum(row.values))
        groups.append(row.group)
    if refused.number:
        raise UnusableError(f"{refused}{hint}")
    if left_out.number:
        number = "1 row lacks" if left_out.number == 1 else f"{left_out.number:,} rows lack"
        log.warning("%s a value, left out: %s", number, left_out)
    names, strata_of = strata.ranked()
    return Survey(
        np.frombuffer(is_kept, dtype=bool).copy(),
        np.frombuffer(inputs, dtype=np.uint64),
        strata_of.astype(np.min_scalar_type(len(names))),
        names,
        groups.ranked()[1] if groups.code_of else None,
        np.frombuffer(places),
    )


class UnusableError(ProjectError):
    """Rows cannot be used; the message names the first ones."""


def _split_by(config: DataConfig) -> SplitBy:
    return SplitBy.given if isinstance(config.path, dict) else config.split


def _place(row: Row, by: SplitBy) -> tuple[float, str]:
    """Return the time of a row or the index of its given split, and why there is none, or ''."""
    if by is SplitBy.given:
        if row.split in list(SplitName):
            return list(SplitName).index(SplitName(row.split)), ""
        return -1, f"the split must be one of {', '.join(SplitName)}, got {row.split!r}"
    with suppress(TypeError, ValueError, OverflowError):
        return _moment(row.time), ""
    return 0, f"the time must be a date, a time or a number, got {row.time!r:.100}"


def _lacks_value(row: Row, needed: Sequence[str], by: SplitBy) -> bool:
    values = [row.values.get(name) for name in needed]
    values += [row.time] if by is SplitBy.time else [row.split] if by is SplitBy.given else []
    nested = (value.values() if isinstance(value, dict) else [value] for value in values)
    return any(one is None for each in nested for one in each)


def _moment(value: Any) -> float:
    """Return a time as seconds since 1970, without a zone as UTC; a number stays what it is."""
    if isinstance(value, str):
        try:
            value = float(value.replace("_", "?"))  # `float` takes 1_000
        except ValueError:
            value = datetime.fromisoformat(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if isinstance(value, datetime):
        value = (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if not math.isfinite(moment := float(value)):
        raise ValueError(f"{value} is at no time")
    return moment


def _hash(values: Values, encoder: type[Encoder], objective: type[Objective]) -> int:
    others = [name for name in values if name not in objective.columns]
    names = others if encoder.takes_others else encoder.columns
    inputs = repr([values[name] for name in names]).encode()
    return int.from_bytes(hashlib.blake2b(inputs, digest_size=8).digest())


def _without_duplicates(survey: Survey, rows: Rows, config: DataConfig) -> Survey:
    """Return the survey with only the first of the rows that have the same inputs.

    Raises:
        UnusableError: A row has the inputs of another, and `data.on_duplicate` is `error`.
    """
    if config.on_duplicate is OnDuplicate.keep:
        return survey
    is_first = survey.is_kept.copy()
    for part in range(NUM_PARTS):
        some = np.flatnonzero(survey.inputs % NUM_PARTS == part)
        order = some[np.argsort(survey.inputs[some], kind="stable")]
        ordered = survey.inputs[order]
        is_first[order[1:][ordered[1:] == ordered[:-1]]] = False
    number = int(survey.is_kept.sum() - is_first.sum())
    if number and config.on_duplicate is OnDuplicate.error:
        found = _duplicates(survey, is_first, rows)
        raise UnusableError(f"{found}; data.on_duplicate=drop leaves out such rows")
    if number:
        log.info("%s removed", "1 duplicate" if number == 1 else f"{number:,} duplicates")
    return replace(survey, is_kept=is_first, inputs=survey.inputs[:0].copy())


def _duplicates(survey: Survey, is_first: np.ndarray, rows: Rows) -> Found:
    """Return the rows whose inputs an earlier row has too, each with that row."""
    later = np.flatnonzero(survey.is_kept & ~is_first)
    is_listed = survey.is_kept & np.isin(survey.inputs, survey.inputs[later[:LISTED]])
    found, source_of = Found(), {}
    inputs = survey.inputs[is_listed].tolist()
    for key, row in zip(inputs, Rows(rows.path, is_listed), strict=True):
        first = source_of.setdefault(key, row.source)
        if first is not row.source:
            found.add(row.source, f"the inputs are those of {first}")
    found.number = len(later)
    return found


def _assigned(survey: Survey, config: DataConfig) -> np.ndarray:
    """Return the split of each row: [rows], int8; -1 for a row that is left out."""
    kept = survey.is_kept
    held_out = config.validation_fraction, config.test_fraction
    fractions = (1 - sum(held_out), *held_out)
    groups, by = _together(survey, config), _split_by(config)
    if by is SplitBy.given:
        chosen = survey.places[kept]
        if groups is not None and (number := np.sum(largest_in_group(chosen, groups) != chosen)):
            rows = "1 row has" if number == 1 else f"{number:,} rows have"
            log.warning("%s a group, or inputs, that a later split has too, as given", rows)
    elif by is SplitBy.time:
        chosen = split_by_time(survey.places[kept], groups, fractions=fractions)
    else:
        chosen = split_at_random(
            survey.strata[kept], groups, fractions=fractions, seed=config.split_seed
        )
    split_of = np.full(len(survey.is_kept), -1, dtype=np.int8)
    split_of[kept] = chosen
    return split_of


def _together(survey: Survey, config: DataConfig) -> np.ndarray | None:
    """Return the group of each row that is kept; rows with the same inputs are in one."""
    kept = survey.is_kept
    groups = None if survey.groups is None else survey.groups[kept]
    if config.on_duplicate is not OnDuplicate.keep or not kept.any():
        return groups
    _, inputs = np.unique(survey.inputs[kept], return_inverse=True)
    if groups is None:
        return inputs
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    # A graph whose nodes are groups and inputs, with an edge for each row.
    first = int(groups.max()) + 1
    edges = groups, first + inputs
    size = first + int(inputs.max()) + 1
    graph = coo_array((np.ones(len(inputs), dtype=np.int8), edges), shape=(size, size))
    return connected_components(graph, directed=False)[1][groups]


def _check_strata(
    survey: Survey, split_of: np.ndarray, config: DataConfig, objective: type[Objective]
) -> None:
    """Raise a ProjectError if a split lacks a stratum that it needs."""
    there = [set(np.unique(survey.strata[split_of == index]).tolist()) for index in range(3)]
    is_random = _split_by(config) is SplitBy.random
    for name, found in zip(SplitName, there, strict=True):
        if not found:
            raise ProjectError(f"the {name} split has no row; see data.split")
        needed = set().union(*there) if is_random or name is SplitName.train else set()
        if missing := needed - found:
            raise ProjectError(
                f"{' and '.join(objective.columns)} {survey.names[min(missing)]!r} has no row in "
                f"the {name} split; it needs more rows (or groups), or another data.split_seed"
            )
