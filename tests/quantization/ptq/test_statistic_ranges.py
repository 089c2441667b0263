"""Ranges from batch-norm statistics: beta +- n gamma, clipped; shared grids; what stays open."""

import torch
from torch import nn

import microjoule as mj
from microjoule.numerics.ranges import mse


def network(*, target="per-tensor"):
    module = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 2, 1)).eval()
    with torch.no_grad():
        module[1].weight.copy_(torch.tensor([0.5, 2.0]))
        module[1].bias.copy_(torch.tensor([1.0, -3.0]))
    made = mj.capture(module, torch.randn(2, 3, 4, 4))
    mj.fold_batch_norms(made)
    mj.quantize(made, target=target)
    return made


def ranges(record):
    return {found.name: (found.low, found.high) for found in record.ranges}


def test_a_range_is_that_of_the_widest_channel_clipped_by_the_activation():
    made = network()
    found = ranges(mj.ranges_from_statistics(made, input_range=(-2.0, 1.0)))
    assert (0.0, max(1.0 + 6 * 0.5, -3.0 + 6 * 2.0)) in [tuple(round(b, 5) for b in pair) for pair in found.values()]
    assert (-2.0, 1.0) in found.values()


def test_fewer_sigmas_give_a_narrower_range():
    narrow = mj.ranges_from_statistics(network(), input_range=(-2.0, 1.0), sigmas=3.0)
    assert (0.0, 3.0) in [tuple(round(bound, 5) for bound in pair) for pair in ranges(narrow).values()]


def test_another_rule_clips_the_density():
    made = network()
    whole = ranges(mj.ranges_from_statistics(made, input_range=(-2.0, 1.0)))
    clipped = ranges(mj.ranges_from_statistics(made, input_range=(-2.0, 1.0), rule=mse))
    assert any(clipped[name][1] < whole[name][1] for name in whole)


def test_every_value_of_a_convolutional_network_gets_a_range_without_data():
    made = network()
    mj.ranges_from_statistics(made, input_range=(-1.0, 1.0))
    assert all(quantizer.calibrated for quantizer in made.quantizers.values())


def test_what_statistics_cannot_tell_stays_open():
    class Product(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            return self.a(x) * x

    made = mj.capture(Product(), torch.randn(2, 3, 4, 4))
    mj.quantize(made, target="per-tensor")
    mj.ranges_from_statistics(made, input_range=(-1.0, 1.0))
    assert [name for name, quantizer in made.quantizers.items() if not quantizer.calibrated] == ["mul"]


def test_values_that_share_a_scale_share_the_range_of_all():
    class Joined(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = (nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)) for _ in range(2))
            self.head = nn.Conv2d(4, 2, 1)

        def forward(self, x):
            return self.head(torch.cat([self.a(x), self.b(x)], 1))

    module = Joined().eval()
    with torch.no_grad():
        module.a[1].bias.fill_(-20.0)
        module.b[1].bias.fill_(30.0)
    made = mj.capture(module, torch.randn(2, 3, 4, 4))
    mj.fold_batch_norms(made)
    mj.quantize(made, target="tflite-micro")
    found = mj.ranges_from_statistics(made, input_range=(-1.0, 1.0)).ranges
    assert [(round(one.low, 4), round(one.high, 4)) for one in found][:2] == [(-1, 1), (-26, 36)]
