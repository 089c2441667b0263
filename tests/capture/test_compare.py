import math

import pytest
import torch
from torch import tensor

from microjoule.capture.compare import REFUSED, difference, disagreement, inputs_of, other_sizes, relative_difference
from microjoule.graph.contract import BATCH, contract_of


def test_a_difference_is_relative_to_the_largest_value():
    assert relative_difference(tensor([1.0, 9.0]), tensor([2.0, 10.0])) == pytest.approx(0.1)
    assert relative_difference(tensor([1.0, math.nan, math.inf]), tensor([1.0, math.nan, math.inf])) == 0.0


@pytest.mark.parametrize(
    ("value", "reference"),
    [
        (tensor([1.0]), tensor([1.0, 1.0])),
        (tensor([1]), tensor([2])),
        (tensor([math.inf]), tensor([-math.inf])),
        (tensor([math.nan]), tensor([0.0])),
        ({"a": tensor([1.0])}, {"b": tensor([1.0])}),
        ([tensor([1.0])], (tensor([1.0]),)),
        (1, 2),
    ],
)
def test_what_is_another_thing_differs_without_bound(value, reference):
    assert difference(value, reference) == math.inf


def test_the_worst_of_several_outputs_counts():
    found = difference((tensor([1.0]), {"a": tensor([4.5])}), (tensor([1.0]), {"a": tensor([5.0])}))
    assert found == pytest.approx(0.1)


@pytest.mark.parametrize(("samples", "expected"), [(1, [3]), (2, [3, 1]), (3, [5, 1]), (6, [5, 1])])
def test_other_batches_neither_divide_the_examples_nor_are_divided(samples, expected):
    contract = contract_of((torch.zeros(samples, 4),), {})
    assert [sizes[BATCH] for sizes in other_sizes(contract, {BATCH: samples})] == expected


def test_samples_of_another_batch_are_the_examples_made_smaller():
    row = [torch.ones(2, 4)]
    contract = contract_of(tuple(row), {})
    (made,) = inputs_of(contract, row, {BATCH: 5})
    assert made.shape == (5, 4)
    assert (made >= 0.9).all()
    assert (made < 1.0).any()
    (plain,) = inputs_of(contract, row, {BATCH: 5}, changed=False)
    assert torch.equal(plain, torch.ones(5, 4))


def test_a_disagreement_says_who_fails():
    def fails(row):
        raise ValueError("no\nmore")

    row = [tensor([2.0])]
    assert disagreement(lambda row: row[0], lambda row: row[0], row, 0.0) == ""
    assert disagreement(lambda row: row[0] + 1, lambda row: row[0], row, 0.1) == (
        "outputs differ by 0.5 of their largest value"
    )
    assert disagreement(fails, lambda row: row[0], row, 0.0) == "they do not go through the network: no"
    assert disagreement(lambda row: row[0], fails, row, 0.0) == f"{REFUSED}: no"
    assert disagreement(fails, fails, row, 0.0) is None
