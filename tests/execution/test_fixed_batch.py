import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.execution.batches import batches
from microjoule.execution.fixed_batch import Fill, filled
from microjoule.records.noticed import Noticed


@pytest.fixture
def network():
    made = mj.capture(nn.Linear(4, 3), torch.randn(4, 4))
    made.dynamic_batch = False
    return made


X = torch.arange(12.0).reshape(3, 4)


def test_copies_follow_the_samples_and_are_cut_off_again():
    fill = Fill(3, 8, 0)
    whole = fill.repeat((X, "word", torch.ones(1)))
    assert torch.equal(whole[0], X[[0, 1, 2, 0, 1, 2, 0, 1]])
    assert whole[1:] == ("word", torch.ones(1))
    assert torch.equal(fill.cut({"a": whole[0]})["a"], X)
    other = torch.ones(5, 2)
    assert fill.cut(other) is other


def test_samples_may_lie_along_another_dimension():
    fill = Fill(4, 6, 1)
    assert fill.repeat((X,))[0].shape == (3, 6)
    assert torch.equal(fill.cut(fill.repeat((X,)))[0], X)
    assert fill.cut(torch.ones(6)).shape == (4,)


def test_a_batch_that_fits_is_left_alone(network):
    for x in (torch.ones(4, 4), torch.ones(5, 4), torch.ones(0, 4)):
        assert filled(network, (x,)) == ((x,), None)
    free = mj.capture(nn.Linear(4, 2), torch.ones(4, 4))
    assert filled(free, (X,)) == ((X,), None)


def test_it_is_told_once(network):
    for _ in range(2):
        whole, fill = filled(network, (X,))
        assert (len(whole[0]), fill) == (4, Fill(3, 4, 0))
    (told,) = [record for record in network.history if isinstance(record, Noticed)]
    assert not told.serious
    assert "takes 4 samples at once, and a batch of 3 was filled up" in told.fact


def test_a_score_is_that_of_the_samples_alone(network):
    x, y = torch.randn(10, 4), torch.randint(3, (10,))
    right = 100 * float((network.module(x).argmax(1) == y).float().mean())
    for data in ((x, y), [(x[:3], y[:3]), (x[3:], y[3:])]):
        record = mj.evaluate(network, data, mj.zoo.metric("top1"))
        assert (record.value, record.samples) == (pytest.approx(right), 10)


def test_statistics_are_those_of_the_samples_alone():
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), torch.randn(10, 4)
    found = []
    for fixed in (False, True):
        network = mj.capture(model, torch.randn(4, 4))
        network.dynamic_batch = not fixed
        mj.observe_statistics(network, x)
        mj.quantize(network)
        mj.calibrate(network, x)
        mj.correct_biases(network, x)
        found.append(network)
    for path, gaussian in found[0].preactivations.items():
        torch.testing.assert_close(found[1].preactivations[path].mean, gaussian.mean)
        torch.testing.assert_close(found[1].preactivations[path].std, gaussian.std)
    for name, quantizer in found[0].quantizers.items():
        torch.testing.assert_close(found[1].quantizers[name].scale, quantizer.scale)
    for one, other in zip(found[0].layers, found[1].layers, strict=True):
        torch.testing.assert_close(one.bias, other.bias)


def test_batches_are_cut_to_the_size_of_the_network(network):
    sizes = [len(inputs[0]) for inputs, _ in batches([torch.ones(3, 4), torch.ones(7, 4)], network)]
    assert sizes == [4, 4, 2]
