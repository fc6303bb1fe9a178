import torch
from toy_project.data.dataset import Split

SPLIT = Split.from_rows([[1] * (1 + i % 9) for i in range(100)], torch.arange(100) % 3)


def test_a_batch_is_padded_to_its_longest_row():
    inputs, targets = SPLIT.batch(torch.tensor([0, 2]))
    assert inputs.tolist() == [[1, 0, 0], [1, 1, 1]]
    assert targets.tolist() == [0, 2]


def test_rows_of_one_shape_and_any_type_stay_as_they_are():
    rows = torch.arange(24, dtype=torch.uint8).view(4, 2, 3)
    split = Split.from_rows(rows, torch.eye(4))
    inputs, targets = split.batch(torch.tensor([3, 1]))
    assert inputs.equal(rows[[3, 1]])
    assert targets.equal(torch.eye(4)[[3, 1]])
    batches = split.shuffled_batches(3, seed=0, epoch=0)
    assert sorted(torch.cat(batches).tolist()) == [0, 1, 2, 3]


def test_rows_of_any_length_may_be_of_vectors():
    split = Split.from_rows([torch.ones(1, 2), torch.ones(3, 2)], torch.zeros(2))
    assert split.inputs(torch.tensor([0, 1])).sum(dim=-1).tolist() == [[2, 0, 0], [2, 2, 2]]


def test_an_epoch_holds_every_row_once():
    batches = SPLIT.shuffled_batches(16, seed=0, epoch=0)
    assert sorted(torch.cat(batches).tolist()) == list(range(100))


def test_seed_and_epoch_decide_the_order():
    def order(seed: int, epoch: int) -> list[int]:
        return torch.cat(SPLIT.shuffled_batches(16, seed=seed, epoch=epoch)).tolist()

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)


def test_rows_of_like_length_share_a_batch():
    batches = SPLIT.shuffled_batches(10, seed=0, epoch=0)
    padded = sum(SPLIT.batch(rows)[0].numel() for rows in batches)
    assert padded < 1.2 * len(SPLIT.values)
