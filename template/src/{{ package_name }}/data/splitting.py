"""Splits that never part a group, so that near-copies within one cannot leak from train to test."""

from collections.abc import Hashable, Sequence

import numpy as np


def split_groups(
    labels: Sequence[Hashable],
    groups: Sequence[Hashable],
    *,
    fractions: Sequence[float],
    seed: int,
) -> np.ndarray:
    """Return the split (0, 1, 2, …) of each row: whole groups, labels in proportion to `fractions`.

    Greedy: groups, large ones first and those of like size in seeded order, go one by one to the
    split that lacks most of their labels. Where each group has one label, a label with as many
    groups as there are splits is in every split.
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
    """Return the groups by falling power of two of their size, shuffled within each."""
    shuffled = np.random.default_rng(seed).permutation(len(sizes))
    return shuffled[np.argsort(-np.floor(np.log2(sizes[shuffled])), kind="stable")]
