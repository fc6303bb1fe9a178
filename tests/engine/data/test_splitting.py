import tracemalloc

import numpy as np
import pytest
from toy_project.data.splitting import split_at_random, split_groups

FRACTIONS = (0.7, 0.15, 0.15)


@pytest.mark.parametrize("seed", range(20))
def test_groups_stay_whole_and_labels_are_in_every_split(seed):
    random = np.random.default_rng(seed)
    sizes = random.integers(1, 12, size=40)
    group_labels = np.arange(40) % 4
    labels, groups = np.repeat(group_labels, sizes), np.repeat(range(40), sizes)
    split_of = split_groups(list(labels), list(groups), fractions=FRACTIONS, seed=seed)
    for group in range(40):
        assert len(set(split_of[groups == group])) == 1
    for label in range(4):
        assert set(split_of[labels == label]) == {0, 1, 2}


def test_the_fractions_hold_when_groups_are_small():
    labels, groups = np.arange(4000) % 4, np.arange(4000) // 4
    split_of = split_groups(list(labels), list(groups), fractions=FRACTIONS, seed=1)
    assert np.bincount(split_of) / 4000 == pytest.approx(FRACTIONS, abs=0.01)


@pytest.mark.parametrize("num_strata", [1, 100])
def test_a_row_takes_a_few_bytes_while_it_is_split(num_strata):
    number = 1_000_000
    strata = (np.arange(number) % num_strata).astype(np.uint8)
    tracemalloc.start()
    try:
        split_of = split_at_random(strata, None, fractions=FRACTIONS, seed=0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert np.bincount(split_of) / number == pytest.approx(FRACTIONS, abs=0.001)
    assert peak < 24 * number
