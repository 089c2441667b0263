import pytest
import torch

from microjoule.graph.file.value_extent import by_values

aten = torch.ops.aten
MASK, X = torch.tensor([True, False, True]), torch.rand(3, 4)
COUNTS = torch.tensor([2, 0, 5])

CASES = [
    (aten.nonzero.default, (MASK,)),
    (aten.argwhere.default, (X,)),
    (aten.masked_select.default, (X, X > 0)),
    (aten._unique2.default, (COUNTS, True, True, True)),
    (aten.unique_consecutive.default, (COUNTS,)),
    (aten.unique_dim.default, (COUNTS, 0)),
    (aten.bincount.default, (COUNTS,)),
    (aten.bincount.default, (COUNTS, None, 100)),
    (aten.one_hot.default, (COUNTS,)),
    (aten.one_hot.default, (COUNTS, 9)),
    (aten.repeat_interleave.Tensor, (COUNTS,)),
    (aten.repeat_interleave.self_Tensor, (X, COUNTS, 0)),
    (aten.repeat_interleave.self_int, (X, 3)),
    (aten.histogram.bin_ct, (X, 7)),
    (aten.tensor_split.tensor_indices_or_sections, (X, torch.tensor([1, 2]))),
    (aten.tensor_split.tensor_indices_or_sections, (X, torch.tensor(2))),
    (aten.index.Tensor, (X, [MASK])),
    (aten.index.Tensor, (X, [None, COUNTS.clamp(max=3)])),
    (aten.index.Tensor, (X, [MASK, torch.tensor([1])])),
    (aten.index.Tensor, (X, [X > 0.5])),
    (aten.index.Tensor, (X, [torch.zeros(5, 6, dtype=torch.int64), None])),
    (aten.index_put.default, (X, [MASK], torch.tensor(1.0))),
    (aten.item.default, (torch.tensor(3),)),
]


@pytest.mark.parametrize(("target", "args"), CASES, ids=lambda value: str(value)[:40])
def test_at_least_as_much_as_there_is(target, args):
    """And not much more."""
    made = target(*args)
    tensors = [one for one in (made if isinstance(made, tuple | list) else [made]) if isinstance(one, torch.Tensor)]
    taken = sum(one.nbytes for one in tensors)
    assert taken <= by_values(target, args, {}) <= 20 * taken + 1000


@pytest.mark.parametrize("target", [aten.relu.default, aten.add.Tensor, aten.zeros.default])
def test_others_depend_on_no_numbers(target):
    assert by_values(target, (X,), {}) is None


@pytest.mark.parametrize(
    ("target", "args"),
    [
        (aten.bincount.default, (torch.tensor([10**12]),)),
        (aten.one_hot.default, (torch.tensor([10**12]),)),
        (aten.repeat_interleave.Tensor, (torch.tensor([10**12]),)),
        (aten.repeat_interleave.self_Tensor, (torch.ones(1), torch.tensor([10**12]))),
        (aten.tensor_split.tensor_indices_or_sections, (X, torch.tensor(10**12))),
    ],
    ids=str,
)
def test_a_number_among_values_that_asks_for_any_size_is_seen(target, args):
    assert by_values(target, args, {}) >= 10**12
