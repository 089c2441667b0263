import pytest
import torch
import torch.nn.functional as F
from torch import nn

from microjoule.capture.export import capture
from microjoule.graph.fold import fold_batch_norms, scale_and_shift
from tests.capture.models import MODELS, Function, alive, images


def folded(module, *shape):
    module = alive(module)
    network = capture(module, images(2, *shape))
    record = fold_batch_norms(network)
    x = images(3, *shape)
    with torch.no_grad():
        torch.testing.assert_close(network(x), module(x), rtol=1e-4, atol=1e-5)
    assert network.history[-1] is record
    return network, record


def test_scale_and_shift_by_hand():
    norm = nn.BatchNorm1d(1, eps=0.0).eval()
    norm.weight.data, norm.bias.data = torch.tensor([3.0]), torch.tensor([1.0])
    norm.running_mean, norm.running_var = torch.tensor([2.0]), torch.tensor([4.0])
    scale, shift = scale_and_shift(norm)
    assert (scale.item(), shift.item()) == (1.5, -2.0)


@pytest.mark.parametrize(
    ("layer", "norm", "shape"),
    [
        (nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), (4, 5, 5)),
        (nn.Conv2d(4, 6, 3, bias=False, padding=1), nn.BatchNorm2d(6, affine=False), (4, 5, 5)),
        (nn.Conv2d(4, 4, 3, groups=4), nn.BatchNorm2d(4), (4, 5, 5)),
        (nn.Conv1d(4, 6, 3), nn.BatchNorm1d(6), (4, 5)),
        (nn.Conv3d(2, 3, 2), nn.BatchNorm3d(3), (2, 4, 4, 4)),
        (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), nn.BatchNorm2d(6), (4, 5, 5)),
        (nn.Linear(4, 6), nn.BatchNorm1d(6), (4,)),
    ],
    ids=repr,
)
def test_a_norm_after_a_layer_is_folded_into_it(layer, norm, shape):
    network, record = folded(nn.Sequential(layer, norm), *shape)
    assert record.folded == (("1", "0"),)
    assert record.skipped == ()
    if norm.affine:
        assert torch.equal(network.preactivations["0"].mean, norm.bias)
        assert torch.equal(network.preactivations["0"].std, norm.weight.abs())


@pytest.mark.parametrize(
    ("layer", "norm", "shape"),
    [
        (nn.Conv2d(4, 6, 3), nn.BatchNorm2d(4), (4, 5, 5)),
        (nn.Conv2d(4, 6, 3, groups=2, bias=False), nn.BatchNorm2d(4), (4, 5, 5)),
        (nn.ConvTranspose2d(4, 6, 1, groups=2), nn.BatchNorm2d(4), (4, 5, 5)),
        (nn.Linear(4, 6), nn.BatchNorm1d(4), (4,)),
    ],
    ids=repr,
)
def test_a_norm_before_a_layer_is_folded_into_it(layer, norm, shape):
    _, record = folded(nn.Sequential(norm, layer), *shape)
    assert record.folded == (("0", "1"),)


def test_all_norms_of_a_residual_block_go():
    _, record = folded(MODELS["residual"][0], 4, 6, 6)
    assert record.folded == (("bn1", "conv1"), ("bn2", "conv2"))


def conv(**settings):
    return nn.Conv2d(4, 4, 3, **settings)


def two_readers(m, x):
    y = m.conv(x)
    return m.norm(y) + y


@pytest.mark.parametrize(
    ("module", "shape", "reason"),
    [
        (nn.Sequential(nn.BatchNorm2d(4), conv(padding=1)), (4, 5, 5), "1 pads with zeros"),
        (nn.Sequential(nn.BatchNorm2d(4), nn.ConvTranspose2d(4, 4, 3)), (4, 5, 5), "not the same at every output"),
        (nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(), conv()), (4, 5, 5), "no layer stands directly before or after it"),
        (nn.Sequential(conv(), nn.BatchNorm2d(4, track_running_stats=False)), (4, 5, 5), "keeps no running statistics"),
        (nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(5)), (5, 4), "normalizes another dimension"),
        (
            Function(two_readers, conv=conv(), norm=nn.BatchNorm2d(4)),
            (4, 5, 5),
            "others read the output of conv as well",
        ),
        (
            Function(lambda m, x: m.norm(F.pad(m.norm(m.conv(x)), (0, 1))), conv=conv(), norm=nn.BatchNorm2d(4)),
            (4, 5, 5),
            "it is used more than once",
        ),
        (
            Function(lambda m, x: m.norm(m.conv(m.conv(x))), conv=conv(), norm=nn.BatchNorm2d(4)),
            (4, 7, 7),
            "conv is used more than once",
        ),
    ],
)
def test_a_norm_that_cannot_be_folded_stays_with_the_reason(module, shape, reason):
    _, record = folded(module, *shape)
    assert record.folded == ()
    assert reason in record.skipped[0].reason


def test_folding_again_does_nothing():
    network, _ = folded(MODELS["residual"][0], 4, 6, 6)
    assert fold_batch_norms(network).folded == ()
