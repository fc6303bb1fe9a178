import numpy as np
import pytest
from toy_project.data.preprocessing import split_groups

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
