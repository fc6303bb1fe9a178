"""Split rows by time, at random, or by group: the index of a split for each row."""

from collections.abc import Hashable, Sequence

import numpy as np


def split_by_time(
    times: np.ndarray, groups: np.ndarray | None, *, fractions: Sequence[float]
) -> np.ndarray:
    """Return the split (0, 1, 2, …) of each row, the newest in the last; equal times stay together.

    A group stays whole, at its newest time. A split begins at the time at which its share of the
    rows does; it is empty if that is less than half a row.
    """
    times = times if groups is None else largest_in_group(times, groups)
    ordered = np.append(np.sort(times), np.inf)
    starts = ordered[np.rint(np.cumsum(fractions[:-1]) * len(times)).astype(int)]
    return np.searchsorted(starts, times, side="right")


def largest_in_group(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the largest value of each row's group: [rows]."""
    largest = np.full(groups.max(initial=-1) + 1, -np.inf)
    np.maximum.at(largest, groups, values)
    return largest[groups]


def split_at_random(
    strata: np.ndarray, groups: np.ndarray | None, *, fractions: Sequence[float], seed: int
) -> np.ndarray:
    """Return the split (0, 1, 2, …) of each row; each stratum is in proportion to `fractions`."""
    if groups is not None:
        return split_groups(strata, groups, fractions=fractions, seed=seed)
    shuffled = np.arange(len(strata), dtype=np.uint32)
    np.random.default_rng(seed).shuffle(shuffled)
    shuffled = shuffled[np.argsort(strata[shuffled], kind="stable")]
    split_of = np.empty(len(strata), dtype=np.int8)
    for rows in np.split(shuffled, np.cumsum(np.bincount(strata))[:-1]):
        # Bounds of the splits, which leave a row to each if there are enough.
        least = np.arange(1, len(fractions))
        bounds = np.rint(np.cumsum(fractions[:-1]) * len(rows)).clip(least, len(rows) - least[::-1])
        for index, some in enumerate(np.split(rows, bounds.astype(int))):
            split_of[some] = index
    return split_of


def split_groups(
    labels: Sequence[Hashable] | np.ndarray,
    groups: Sequence[Hashable] | np.ndarray,
    *,
    fractions: Sequence[float],
    seed: int,
) -> np.ndarray:
    """Return the split (0, 1, 2, …) of each row, without leakage of near-duplicates in a group.

    Groups stay whole, and labels are in proportion to `fractions`. Greedy: each group, from large
    to small and in seeded order among similar sizes, joins the split that lacks most of its labels.
    If every group has one label, a label with at least as many groups as splits is in each split.
    """
    _, group_of, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    _, label_of = np.unique(np.asarray(labels), return_inverse=True)
    labels_of = np.split(label_of[np.argsort(group_of, kind="stable")], np.cumsum(sizes)[:-1])
    wanted = np.outer(fractions, np.bincount(label_of))  # [splits, labels]
    held = np.zeros_like(wanted)
    split_of = np.empty(len(sizes), dtype=np.int8)
    for group in _large_first(sizes, seed=seed):
        there, counts = np.unique(labels_of[group], return_counts=True)
        split = np.argmax((1 - held[:, there] / wanted[:, there]) @ counts)
        split_of[group] = split
        held[split, there] += counts
    return split_of[group_of]


def _large_first(sizes: np.ndarray, *, seed: int) -> np.ndarray:
    """Return the groups from large to small, shuffled among sizes with the same power of two."""
    shuffled = np.random.default_rng(seed).permutation(len(sizes))
    return shuffled[np.argsort(-np.floor(np.log2(sizes[shuffled])), kind="stable")]
