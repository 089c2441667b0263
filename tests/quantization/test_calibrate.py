"""Calibration: ranges from data, however it is batched; what is kept; refusals that leave ranges alone."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import microjoule as mj
from microjoule.errors import DataError, GraphError
from microjoule.execution.run import unquantized
from microjoule.numerics.ranges import mse, percentile
from microjoule.quantization.range_setting import quantizer_nodes, rule_name


def network():
    torch.manual_seed(0)
    made = mj.capture(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)), torch.randn(5, 4))
    mj.quantize(made)
    return made


def ends(made):
    return [(quantizer.scale.item(), quantizer.zero_point.item()) for quantizer in made.quantizers.values()]


def test_ranges_are_the_smallest_and_largest_values_of_floating_point():
    made, x = network(), torch.randn(50, 4)
    record = mj.calibrate(made, x)
    with unquantized(made):
        output = made(x)
    assert record.samples == 50
    assert_close((record.ranges[0].low, record.ranges[0].high), (x.min().item(), x.max().item()))
    assert_close((record.ranges[-1].low, record.ranges[-1].high), (output.min().item(), output.max().item()))


@pytest.mark.parametrize("size", [1, 7, 50])
def test_how_data_is_batched_does_not_matter(size):
    one, other, x = network(), network(), torch.randn(50, 4)
    mj.calibrate(one, x)
    mj.calibrate(other, list(x.split(size)))
    assert ends(one) == ends(other)


def test_calibrating_again_starts_from_floating_point():
    made, x = network(), torch.randn(50, 4)
    mj.calibrate(made, x)
    before = ends(made)
    mj.calibrate(made, x)
    assert ends(made) == before


def test_a_rule_that_clips_gives_smaller_steps():
    made, x = network(), torch.cat([torch.randn(500, 4), torch.full((1, 4), 50.0)])
    mj.calibrate(made, x)
    whole = ends(made)[0][0]
    record = mj.calibrate(made, x, rule=percentile(99.0))
    assert ends(made)[0][0] < whole / 3
    assert record.ranges[0].seen_high == 50


def shrunk(share):
    def rule(distribution, scheme):
        return share * distribution.low, share * distribution.high

    return rule


class Whole:
    def __call__(self, distribution, scheme):
        return distribution.low, distribution.high


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        (mse, "mse"),
        (percentile(99.99), "percentile(99.99)"),
        (shrunk(0.5), "shrunk.rule"),
        (Whole(), "Whole"),
    ],
)
def test_a_record_names_the_rule(rule, name):
    assert rule_name(rule) == name


def test_kept_ranges_stay():
    made, x = network(), torch.randn(50, 4)
    first = next(iter(made.quantizers.values()))
    first.set_range(torch.tensor(-9.0), torch.tensor(9.0))
    before = first.scale.clone()
    record = mj.calibrate(made, x, keep=True)
    assert torch.equal(first.scale, before)
    assert len(record.ranges) == len(quantizer_nodes(made)) - 1


def test_only_so_many_samples_are_used():
    made, x = network(), torch.cat([torch.rand(8, 4), 100 * torch.rand(8, 4)])
    record = mj.calibrate(made, x, samples=8)
    assert record.samples == 8
    assert record.ranges[0].high <= 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (torch.full((3, 4), float("nan")), "NaN"),
        (torch.randn(3, 5), "and the network was captured for"),
        (torch.empty(0, 4), "no sample"),
    ],
    ids=["NaN", "shape", "empty"],
)
def test_bad_data_is_refused_and_no_range_is_set(data, words):
    made = network()
    with pytest.raises(DataError, match=words):
        mj.calibrate(made, data)
    assert not any(quantizer.calibrated for quantizer in made.quantizers.values())
    assert all(quantizer.enabled for quantizer in made.quantizers.values())


def test_a_network_without_quantizers_is_refused():
    with pytest.raises(GraphError, match="has no activation quantizer"):
        mj.calibrate(mj.capture(nn.Linear(3, 3), torch.randn(2, 3)), torch.randn(2, 3))
