"""Data in parts that share no sample, with each class in every part alike."""

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, TensorDataset

from microjoule.errors import DataError
from microjoule.execution.average_precision import Boxes
from microjoule.execution.batches import Batches, batches
from microjoule.execution.parts import parts

HALVES = (0.5, 0.5), ("one", "other")


def data(labels, **settings):
    x = torch.arange(float(len(labels)))[:, None]
    return batches((x, torch.as_tensor(labels)), name="set", **settings)


def divided(source, shares=HALVES[0], *, seed=0, whole=False):
    return parts(source, shares, [str(at) for at in range(len(shares))], whole=whole, seed=seed)


def samples(part):
    return [(int(x), int(y)) for inputs, targets in part for x, y in zip(inputs[0][:, 0], targets, strict=True)]


classes = st.lists(st.integers(0, 5), min_size=12, max_size=80)


@given(classes, st.integers(0, 9), st.integers(1, 9))
@settings(max_examples=30)
def test_every_sample_is_in_one_part_and_halves_have_as_many_of_each_class(labels, seed, size):
    one, other = (samples(part) for part in divided(data(labels, batch_size=size), seed=seed))
    assert sorted(one + other) == list(enumerate(labels))
    assert abs(len(one) - len(other)) <= 3
    counts = [Counter(label for _, label in part) for part in (one, other)]
    assert all(abs(counts[0][label] - counts[1][label]) <= 2 for label in labels)


@pytest.mark.parametrize("labels", [[0] * 50 + [1] * 50, list(range(100))], ids=["sorted", "one of each"])
def test_the_draw_is_by_chance_and_the_same_each_time(labels):
    found = {seed: tuple(samples(divided(data(labels), seed=seed)[0])) for seed in range(8)}
    assert len(set(found.values())) == 8
    assert found[3] == tuple(samples(divided(data(labels, batch_size=7), seed=3)[0]))
    assert {len(part) for part in found.values()} == {50}


@pytest.mark.parametrize("labels", [[0] * 100, list(range(100)), [at % 10 for at in range(100)]], ids=str)
def test_shares_are_kept(labels):
    sizes = [len(samples(part)) for part in divided(data(labels), (0.6, 0.2, 0.2))]
    assert sum(sizes) == 100
    assert all(abs(size - share) <= 3 for size, share in zip(sizes, (60, 20, 20), strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_a_small_share_of_many_classes_gets_its_own(seed):
    assert len(samples(divided(data(list(range(100))), (0.01, 0.495, 0.495), seed=seed)[0])) == 1


def test_batches_stay_whole_for_a_network_that_takes_no_other():
    found = [[len(x[0]) for x, _ in part] for part in divided(data([0] * 40, batch_size=8), whole=True)]
    assert sorted(map(len, found)) == [2, 3]
    assert {size for part in found for size in part} == {8}


def test_names_and_labels_are_kept():
    one, other = parts(data([0, 1] * 4), *HALVES, whole=False, seed=0)
    assert (one.name, other.name, one.labelled) == ("set (one)", "set (other)", True)


def boxes(count):
    return [Boxes(torch.full((at % 4, 4), float(at)), torch.zeros(at % 4)) for at in range(count)]


def batch(x, targets):
    return Batches(lambda: iter([(x, targets)]), "set", len(x), labelled=True)


def test_lists_with_an_entry_a_sample_are_divided_with_the_inputs():
    targets = boxes(10)
    for part in divided(batch(torch.arange(10.0)[:, None], targets)):
        for inputs, found in part:
            assert len(found) == len(inputs[0]) == 5
            assert all(found[at] is targets[int(x)] for at, x in enumerate(inputs[0][:, 0]))


def test_nested_inputs_and_targets_are_divided_together_and_what_is_for_all_stays():
    x, scale = torch.arange(10.0)[:, None], torch.tensor(3.0)
    for part in divided(batch((x, {"a": x * 2, "scale": scale}), (x * 3, torch.ones(4, 1)))):
        for (one, nested), (three, ones) in part:
            assert len(one) == 5
            assert torch.equal(nested["a"], one * 2)
            assert torch.equal(three, one * 3)
            assert (nested["scale"], ones.shape) == (scale, (4, 1))


def test_a_batch_whose_targets_may_be_either_is_not_divided():
    """Two tensors of two entries each: two samples of two boxes, or two targets of two samples."""
    targets = [torch.tensor([1, 2]), torch.tensor([3, 4])]
    found = [list(part.start()) for part in divided(batch(torch.zeros(2, 1), targets))]
    assert sorted(map(len, found)) == [0, 1]
    (kept,) = (one[0].targets for one in found if one)
    assert [part.tolist() for part in kept] == [[1, 2], [3, 4]]


def test_a_loader_is_divided_alike_each_time():
    loader = DataLoader(TensorDataset(torch.arange(9.0)[:, None], torch.arange(9) % 2), batch_size=4)
    one, other = divided(batches(loader))
    assert samples(one) == samples(one)
    assert not set(samples(one)) & set(samples(other))


def test_a_part_of_nothing_is_refused():
    (empty,) = (part for part in divided(data([0])) if not list(part.start()))
    with pytest.raises(DataError, match="holds no sample"):
        list(empty)
