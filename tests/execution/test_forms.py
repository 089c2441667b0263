import numpy as np
import pytest
import torch
from torch import nn

from microjoule import capture
from microjoule.errors import DataError
from microjoule.execution.binding import Batch, Binder
from microjoule.execution.forms import How, Stacked, items_of
from microjoule.execution.signature import Signature

BINDER = Binder(Signature.of(capture(nn.Linear(3, 2), torch.zeros(2, 3))), "some")


def how(binder=BINDER, **given):
    return How(**{"name": "some", "size": 4, "binder": binder, "shuffle": None, "transform": None} | given)


def items(data, given=None):
    start, samples, labelled = items_of(data, given or how())
    return list(start()), samples, labelled


def test_arrays_of_all_samples_are_cut():
    x = torch.arange(18.0).reshape(6, 3)
    found, samples, labelled = items((x, np.arange(6)))
    assert (samples, labelled) == (6, True)
    assert [len(batch.inputs[0]) for batch in found] == [4, 2]
    assert torch.equal(torch.cat([batch.inputs[0] for batch in found]), x)
    assert torch.cat([batch.targets for batch in found]).tolist() == list(range(6))


def test_samples_of_a_list_are_put_together():
    found, samples, labelled = items([(torch.full((3,), float(n)), n) for n in range(5)])
    assert (samples, labelled) == (5, True)
    assert all(isinstance(one, Stacked) for one in found)
    assert [one.batch[0].shape for one in found] == [(4, 3), (1, 3)]


def test_batches_stay_as_they_are():
    given = [torch.zeros(2, 3), torch.ones(5, 3)]
    found, samples, labelled = items(given)
    assert found[0] is given[0]
    assert found[1] is given[1]
    assert (samples, labelled) == (None, False)


def test_a_transform_makes_the_items():
    whole = items(torch.ones(6, 3), how(transform=lambda x: (x * 2, x[:, 0])))[0]
    assert [(float(x.max()), len(y)) for x, y in whole] == [(2.0, 4), (2.0, 2)]


def test_a_shuffled_array_has_every_sample_once_in_an_order_of_its_generator():
    x = torch.arange(8.0)[:, None].repeat(1, 3)
    found = items(x, how(shuffle=torch.Generator().manual_seed(0)))[0]
    order = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(torch.cat([batch.inputs[0] for batch in found]), x[order])


def test_going_through_samples_leaves_the_callers_random_numbers():
    start, _, _ = items_of(range(1), how(binder=None))
    torch.manual_seed(0)
    wanted = torch.rand(1)
    torch.manual_seed(0)
    list(start())
    assert torch.equal(torch.rand(1), wanted)


def test_without_a_network_a_pair_of_arrays_is_inputs_and_targets():
    (one,), _, labelled = items((torch.zeros(2, 3), torch.ones(2)), how(binder=None))
    assert isinstance(one, Batch)
    assert labelled
    assert one.targets.tolist() == [1, 1]


@pytest.mark.parametrize("data", ["text", b"bytes", 3, None, nn.Linear(1, 1), (torch.zeros(1), "a")])
def test_what_is_no_data_is_refused(data):
    with pytest.raises(DataError, match="is no data that microjoule can read"):
        items_of(data, how())


def test_nothing_is_refused():
    with pytest.raises(DataError, match="holds no sample"):
        items_of([], how())
    with pytest.raises(DataError, match="3 inputs and 2 targets"):
        items_of((torch.zeros(3, 3), torch.zeros(2)), how())
