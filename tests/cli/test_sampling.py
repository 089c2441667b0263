"""The order in which samples are read."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microjoule.cli.sampling import Ordered, sampled, spread_order


@given(labels=st.lists(st.integers(0, 4), max_size=40), seed=st.integers(0, 5))
def test_every_beginning_holds_the_classes_evenly(labels, seed):
    order = spread_order(labels, seed)
    assert sorted(order) == list(range(len(labels)))
    for end in range(len(order) + 1):
        counts, left = Counter(labels[n] for n in order[:end]), Counter(labels[n] for n in order[end:])
        most = max(counts.values(), default=0)
        assert all(counts[label] >= most - 1 for label in left)


def test_a_seed_gives_the_order_again_and_another_one_another():
    labels = [number % 3 for number in range(60)]
    assert spread_order(labels, 1) == spread_order(labels, 1) != spread_order(labels, 2)
    assert spread_order([0] * 60, 1) != list(range(60))


def test_fewer_samples_than_classes_are_of_classes_all_over():
    labels = [number // 2 for number in range(2000)]
    chosen = [labels[number] for number in spread_order(labels, 0)[:100]]
    assert len(set(chosen)) == 100
    assert min(chosen) < 200
    assert max(chosen) > 800


class Data:
    name = "photos"
    labels = (0, 0, 0, 0, 1, 1)

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return f"image {index}", self.labels[index]

    def collate(self, samples):
        return samples


def test_some_samples_are_named_so_that_one_can_draw_them_again():
    some = sampled(Data(), Data.labels, 2, 7)
    assert (some.name, len(some)) == ("photos (2 of 6, seed 7)", 2)
    assert sorted(some.labels) == [0, 1]
    assert [some[index][1] for index in range(2)] == some.labels
    assert some.collate([1]) == [1]
    with pytest.raises(IndexError):
        some[2]


@pytest.mark.parametrize("samples", [None, 6, 99])
def test_all_samples_keep_the_name(samples):
    everything = sampled(Data(), Data.labels, samples, 0)
    assert (everything.name, len(everything)) == ("photos", 6)
    assert sorted(everything[index] for index in range(6)) == sorted(Data()[index] for index in range(6))


def test_samples_without_labels_are_drawn():
    plain = [f"image {number}" for number in range(40)]

    class Plain(list):
        name = "photos"

    some = sampled(Plain(plain), None, 5, 0)
    assert some.labels is None
    assert [some[index] for index in range(5)] != plain[:5]
    assert isinstance(some, Ordered)
