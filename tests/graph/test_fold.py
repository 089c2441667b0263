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


class Dense(nn.Module):
    """Each convolution reads a norm of all that was there before."""

    def __init__(self):
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(3 + 4 * i) for i in range(3))
        self.convs = nn.ModuleList(nn.Conv2d(3 + 4 * i, 4, 3, padding=1) for i in range(3))

    def forward(self, x):
        for norm, conv in zip(self.norms, self.convs, strict=True):
            x = torch.cat([x, conv(F.relu(norm(x)))], 1)
        return x


MOVED = {
    "tokens in one row": (lambda m, x: m.norm(m.layer(x).flatten(0, 1)).view(x.shape[0], 5, 6), nn.Linear(4, 6), 6),
    "tokens behind features": (lambda m, x: m.norm(m.layer(x).transpose(1, 2)), nn.Linear(4, 6), 6),
    "permuted": (lambda m, x: m.norm(m.layer(x).permute(0, 2, 1)), nn.Linear(4, 6), 6),
    "positions in one row": (lambda m, x: m.norm(m.layer(x[:, :, :, None]).flatten(2)), nn.Conv2d(5, 6, 1), 6),
    "features of one position": (lambda m, x: m.norm(m.layer(x.transpose(1, 2)).squeeze(-1)), nn.Conv1d(4, 6, 5), 6),
}
"""What stands between a layer and a norm, for inputs (n, 5, 4)."""


@pytest.mark.parametrize("name", MOVED)
def test_a_norm_is_folded_through_what_only_moves_values(name):
    run, layer, channels = MOVED[name]
    _, record = folded(Function(run, layer=layer, norm=nn.BatchNorm1d(channels)), 5, 4)
    assert record.folded == (("norm", "layer"),)
    assert record.skipped == record.layers == ()


@pytest.mark.parametrize(
    "run",
    [
        lambda m, x: m.norm(m.layer(x).reshape(-1, 3)),
        lambda m, x: m.norm(m.layer(x).transpose(0, 1).flatten(1)[:, :3]),
        lambda m, x: m.norm((m.layer(x).flatten(0, 1) * 2)[:, :3]),
    ],
    ids=["channels cut", "channels joined", "something between"],
)
def test_a_norm_of_other_channels_is_not_folded(run):
    _, record = folded(Function(run, layer=nn.Linear(4, 6), norm=nn.BatchNorm1d(3)), 5, 4)
    assert record.folded == ()
    assert [one.place for one in record.layers] == ["norm"]


def test_a_norm_before_a_flattened_layer_is_folded_into_it():
    _, record = folded(nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 4)), 3, 2, 2)
    assert record.folded == (("0", "2"),)


@pytest.mark.parametrize(
    ("norm", "shape", "kind"),
    [
        (nn.BatchNorm1d(4), (4, 5), nn.Conv1d),
        (nn.BatchNorm2d(4), (4, 5, 5), nn.Conv2d),
        (nn.BatchNorm3d(4, affine=False), (4, 2, 3, 3), nn.Conv3d),
    ],
)
def test_a_norm_that_no_layer_takes_is_a_depthwise_convolution_at_its_path(norm, shape, kind):
    network, record = folded(nn.Sequential(nn.ReLU(), norm, nn.ReLU()), *shape)
    assert [(one.place, one.reason) for one in record.layers] == [("1", "no layer stands directly before or after it")]
    layer = network.layer("1")
    assert isinstance(layer.owner, kind)
    assert layer.depthwise
    scale, shift = scale_and_shift(norm)
    assert torch.equal(layer.weight.flatten(), scale.float())
    assert torch.equal(layer.bias, shift.float())
    assert ("1" in network.preactivations) is norm.affine


def test_a_norm_of_features_alone_is_a_product_and_a_sum():
    network, record = folded(nn.Sequential(nn.ReLU(), nn.BatchNorm1d(4), nn.ReLU()), 4)
    assert [one.place for one in record.layers] == ["1"]
    assert {"1.scale", "1.shift"} == set(network.state_dict())
    assert [str(node.target) for node in network.graph.nodes if node.op == "call_function"] == [
        "aten.relu.default",
        "aten.mul.Tensor",
        "aten.add.Tensor",
        "aten.relu.default",
    ]


def test_no_norm_of_a_dense_block_stays():
    network, record = folded(Dense(), 3, 6, 6)
    assert record.skipped == ()
    assert [one.place for one in record.layers] == ["norms.0", "norms.1", "norms.2"]
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.module.modules())


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
def test_a_norm_that_cannot_be_folded_says_why(module, shape, reason):
    _, record = folded(module, *shape)
    assert record.folded == ()
    stays = "no running statistics" in reason
    assert reason in (record.skipped if stays else record.layers)[0].reason
    assert not (record.layers if stays else record.skipped)


def test_folding_again_does_nothing():
    network, _ = folded(MODELS["residual"][0], 4, 6, 6)
    assert fold_batch_norms(network).folded == ()
