"""Data as facts: each value and label, in one pass; data that changes, or is gone after one pass, is refused."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from microjoule.errors import DataError
from microjoule.execution.batches import Batches, batches
from microjoule.execution.data_facts import read_facts
from microjoule.jobs.identity import data_facts

X, Y = torch.arange(12.0).reshape(6, 2), torch.arange(6)


def test_facts_are_those_of_the_batches_and_labels_may_be_left_out():
    given = batches((X, Y), batch_size=4)
    assert read_facts(given) == data_facts(given)
    assert list(read_facts(given, "inputs", targets=False)) == ["inputs"]
    assert read_facts(given, "inputs", targets=False) == data_facts([((x,), None) for x in X.split(4)], "inputs")


def test_one_pass_and_the_first_batch_again_are_all_that_is_read():
    passes = []

    def start():
        passes.append(0)
        for x in X.split(2):
            passes[-1] += 1
            yield x

    read_facts(Batches(start, "counted", 6, labelled=False))
    assert passes == [3, 1]


def test_each_batch_is_shown_to_whoever_asks():
    sizes = []
    read_facts(batches(X, batch_size=4), each=lambda inputs: sizes.append(len(inputs[0])))
    assert sizes == [4, 2]


def test_the_callers_chance_stays_as_it_is():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    read_facts(batches(DataLoader(TensorDataset(X, Y))), seed=5)
    read_facts(batches((X, Y)))
    assert torch.equal(torch.rand(1), expected)


class Noisy(torch.utils.data.Dataset):
    """Draws from torch's generator, or from one of its own."""

    def __init__(self, own):
        self.own = own

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.rand(2) if self.own is None else torch.from_numpy(self.own.random(2)), index


@pytest.mark.parametrize(
    "data",
    [
        Noisy(None),
        Noisy(np.random.default_rng(0)),
        DataLoader(TensorDataset(X, Y), batch_size=2, shuffle=True),
        DataLoader(TensorDataset(X, Y), batch_size=2, shuffle=True, generator=torch.Generator()),
    ],
    ids=["noise", "noise of its own", "shuffled", "shuffled by its own"],
)
def test_data_that_changes_is_refused(data):
    with pytest.raises(DataError, match="gives other values each time"):
        read_facts(batches(data))


def test_data_that_draws_from_a_generator_that_the_run_seeds_is_fine():
    loader = batches(DataLoader(TensorDataset(X, Y), batch_size=2, shuffle=True))
    assert read_facts(loader, seed=1) == read_facts(loader, seed=1) != read_facts(loader, seed=2)
    assert read_facts(batches(Noisy(None)), seed=1) == read_facts(batches(Noisy(None)), seed=1)
    with pytest.raises(DataError, match="gives other values each time"):
        read_facts(batches(Noisy(np.random.default_rng(0))), seed=1)


def test_data_that_is_gone_after_one_pass_is_refused():
    once = iter(X.split(2))
    with pytest.raises(DataError, match="can be gone through only once"):
        read_facts(Batches(lambda: once, "generator", None, labelled=False))
