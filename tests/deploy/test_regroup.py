import pytest
import torch
from torch import tensor

from microjoule.deploy.regroup import regrouped


def batches_of(*sizes):
    """Samples 0, 1, 2 ... in batches."""
    samples = iter(range(sum(sizes)))
    return [((tensor([[next(samples)] for _ in range(size)]),), None) for size in sizes]


def sizes_of(*sizes, most=8, example=2, fixed=False):
    return [len(group.inputs[0]) for group in regrouped(batches_of(*sizes), most=most, example=example, fixed=fixed)]


def test_batches_have_two_sizes_and_a_rest():
    assert sizes_of(32) == [7, 8, 8, 8, 1]
    assert sizes_of(5, 5, 5, 5) == [7, 8, 5]


@pytest.mark.parametrize(("example", "first"), [(2, 7), (7, 6), (8, 7)])
def test_the_first_is_not_the_examples(example, first):
    assert sizes_of(24, example=example)[0] == first


@pytest.mark.parametrize(("samples", "example", "sizes"), [(5, 5, [4, 1]), (5, 4, [5]), (1, 1, [1]), (2, 1, [2])])
def test_few_samples_are_split_where_they_are_as_many_as_in_the_example(samples, example, sizes):
    assert sizes_of(samples, example=example) == sizes


def test_one_sample_at_once_is_two_where_the_example_is_one():
    assert sizes_of(4, most=1, example=1) == [2, 1, 1]
    assert sizes_of(4, most=1, example=2) == [1, 1, 1, 1]


@pytest.mark.parametrize("sizes", [(32,), (5, 5, 5), (1,) * 9])
def test_every_sample_comes_once_and_in_order(sizes):
    groups = list(regrouped(batches_of(*sizes), most=8, example=2, fixed=False))
    assert torch.cat([group.inputs[0] for group in groups]).flatten().tolist() == list(range(sum(sizes)))
    assert sum(group.samples for group in groups) == sum(sizes)


def test_a_fixed_batch_is_filled_with_samples_that_do_not_count():
    groups = list(regrouped(batches_of(4, 3), most=8, example=3, fixed=True))
    assert [group.inputs[0].flatten().tolist() for group in groups] == [[0, 1, 2], [3, 4, 5], [6, 6, 6]]
    assert [group.samples for group in groups] == [3, 3, 1]


def test_inputs_without_an_entry_for_each_sample_stay_as_they_are():
    given = [((torch.zeros(4, 2), torch.zeros(3)), None)]
    (group,) = regrouped(given, most=2, example=2, fixed=False)
    assert group.inputs is given[0][0]
    assert group.samples == 4


def test_nested_inputs_keep_their_form():
    given = [(({"a": torch.zeros(9, 2), "b": torch.ones(9)},), None)]
    groups = list(regrouped(given, most=8, example=2, fixed=False))
    assert [(set(g.inputs[0]), len(g.inputs[0]["b"])) for g in groups] == [({"a", "b"}, 7), ({"a", "b"}, 2)]


@pytest.mark.parametrize(
    ("lengths", "expected"), [([3, 3, 5, 5, 5, 3], [(2, 3), (3, 5), (1, 3)]), ([5, 3], [(1, 5), (1, 3)])]
)
def test_sequences_of_another_length_begin_another_batch(lengths, expected):
    given = [((torch.full((1, length), number),), None) for number, length in enumerate(lengths)]
    groups = list(regrouped(given, most=8, example=2, fixed=False))
    assert [tuple(group.inputs[0].shape) for group in groups] == expected
    assert [int(row[0]) for group in groups for row in group.inputs[0]] == list(range(len(lengths)))
