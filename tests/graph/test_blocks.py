"""Blocks: every layer in one, nothing passes them by, and run one after another they are the network."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx import Node
from torch.utils import _pytree as pytree

from microjoule.capture.export import capture
from microjoule.graph.blocks import as_module, blocks
from microjoule.graph.fold import fold_batch_norms
from microjoule.graph.network import Network
from microjoule.graph.ops import kind
from microjoule.quantization.calibrate import calibrate
from microjoule.quantization.simulate import quantize
from microjoule.zoo.digits_mobilenet import DigitsMobileNet
from microjoule.zoo.ds_cnn import DsCnn
from microjoule.zoo.resnet8 import ResNet8
from microjoule.zoo.ssd import Ssd
from microjoule.zoo.unet import UNet
from microjoule.zoo.vit import VisionTransformer
from tests.capture.models import Function

ZOO: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "resnet": (ResNet8, (3, 32, 32)),
    "mobilenet_v2": (DigitsMobileNet, (1, 8, 8)),
    "ds_cnn": (DsCnn, (1, 49, 10)),
    "unet": (UNet, (3, 16, 16)),
    "ssd": (Ssd, (3, 32, 32)),
    "vit": (partial(VisionTransformer, width=16, depth=2, heads=2, patch=4, grid=2, classes=3), (3, 8, 8)),
}
"""Name -> (what makes the module, shape of one sample)."""


@pytest.fixture(scope="module", params=[(name, bits) for name in ZOO for bits in (None, 8)], ids=str)
def case(request: pytest.FixtureRequest) -> tuple[str, Network, Tensor]:
    """A network of the zoo, in floating point or quantized, and more samples than it was captured with."""
    name, bits = request.param
    build, shape = ZOO[name]
    torch.manual_seed(0)
    network = capture(build().eval(), torch.randn(2, *shape))
    x = torch.randn(5, *shape)
    if bits is not None:
        fold_batch_norms(network)
        quantize(network, weights=bits)
        calibrate(network, x)
    return name, network, x


def paths(network: Network) -> list[tuple[str, ...]]:
    return [block.layers for block in blocks(network)]


def run_blocks(network: Network, x: Tensor) -> Tensor | tuple[Tensor, ...]:
    """What the blocks give one after another."""
    found = blocks(network)
    value = x
    if found[0].entry.op != "placeholder":
        assert kind(network.module, found[0].entry) == "quantizer"
        value = network.module.get_submodule(str(found[0].entry.target))(x)
    for block in found:
        value = as_module(network, block)(value)
    return value


def assert_cuts(network: Network, block_exit: Node) -> None:
    """No output is reached from an input without going through a value."""
    reached: set[Node] = set()
    for node in network.graph.nodes:
        goes_on = kind(network.module, node) != "size" and node is not block_exit
        if goes_on and (node.op == "placeholder" or reached & set(node.all_input_nodes)):
            reached.add(node)
    assert next(node for node in network.graph.nodes if node.op == "output") not in reached


def test_every_layer_is_in_one_block(case):
    _, network, _ = case
    found = [path for block in blocks(network) for path in block.layers]
    assert sorted(found) == sorted(layer.path for layer in network.layers)


def test_every_block_begins_where_the_one_before_ends(case):
    _, network, _ = case
    found = blocks(network)
    assert len(found) > 1
    assert [block.entry for block in found[1:]] == [block.exit for block in found[:-1]]
    nodes = [node for block in found for node in block.nodes]
    assert len(nodes) == len(set(nodes))
    assert all(block.nodes[-1] is block.exit and block.entry not in block.nodes for block in found)


def test_nothing_passes_an_exit_by(case):
    _, network, _ = case
    for block in blocks(network):
        assert_cuts(network, block.exit)


def test_a_block_ends_after_the_quantizer(case):
    _, network, _ = case
    for block in blocks(network):
        assert not any(kind(network.module, user) == "quantizer" for user in block.exit.users)


def test_the_first_block_reads_the_quantized_input(case):
    _, network, _ = case
    entry = blocks(network)[0].entry
    assert kind(network.module, entry) == ("quantizer" if network.quantizers else "placeholder")


def test_block_by_block_the_network_is_reproduced_exactly(case):
    name, network, x = case
    with torch.no_grad():
        expected, found = network(x), run_blocks(network, x)
    if name == "ssd":
        found = pytree.tree_leaves(found)
        assert [part.shape[0] for part in found] == [5] * 4
        expected, found = (
            torch.cat([part.flatten() for pair in expected.values() for part in pair]),
            torch.cat([part.flatten() for part in found]),
        )
    assert torch.equal(found, expected)


def test_a_residual_block_is_one_block(case):
    name, network, _ = case
    expected = {
        "resnet": 5,  # the first layer, three residual blocks, the last layer
        "mobilenet_v2": 8,  # five inverted residuals, of which three have an addition, between three layers
        "ds_cnn": 6,
        "unet": 6,
        "ssd": 4,
        "vit": 6,  # patches, two of attention and two perceptrons, the head
    }
    assert len(blocks(network)) == expected[name]


def network_of(name: str) -> Network:
    build, shape = ZOO[name]
    return capture(build().eval(), torch.randn(2, *shape))


def test_an_inverted_residual_is_one_block_with_an_addition_or_without():
    found = paths(network_of("mobilenet_v2"))
    assert found[2:4] == [
        ("features.2.conv.0.0", "features.2.conv.1.0", "features.2.conv.2"),
        ("features.3.conv.0.0", "features.3.conv.1.0", "features.3.conv.2"),
    ]


def excite(m: nn.Module, x: Tensor) -> Tensor:
    y = F.relu(m.depthwise(F.relu(m.expand(x))))
    y = y * torch.sigmoid(m.second(F.relu(m.first(y.mean((2, 3), keepdim=True)))))
    return m.last(m.project(F.hardswish(y)))


def excited(narrow: int) -> Network:
    """Squeeze and excitation after a depthwise layer of 8 channels, and a layer that makes fewer or more."""
    layers = {
        "expand": nn.Conv2d(4, 8, 1),
        "depthwise": nn.Conv2d(8, 8, 3, groups=8),
        "first": nn.Conv2d(8, 2, 1),
        "second": nn.Conv2d(2, 8, 1),
        "project": nn.Conv2d(8, narrow, 1),
        "last": nn.Conv2d(narrow, 3, 1),
    }
    return capture(Function(excite, **layers), torch.randn(2, 4, 6, 6))


def test_squeeze_and_excitation_stays_between_the_depthwise_layer_and_the_one_that_mixes():
    assert paths(excited(6)) == [("expand", "depthwise", "first", "second", "project"), ("last",)]
    assert paths(excited(8)) == [("expand",), ("depthwise", "first", "second", "project"), ("last",)]


def test_a_depthwise_layer_stays_with_the_pointwise_one_after_it_and_leaves_the_one_before():
    found = paths(network_of("ds_cnn"))
    assert [len(layers) for layers in found] == [1, 2, 2, 2, 2, 1]


def test_a_residual_block_before_a_depthwise_layer_is_a_block_of_its_own():
    def function(m: nn.Module, x: Tensor) -> Tensor:
        return m.project(m.depthwise(x + m.second(F.relu(m.first(x)))))

    layers = {
        "first": nn.Conv2d(8, 8, 1),
        "second": nn.Conv2d(8, 8, 1),
        "depthwise": nn.Conv2d(8, 8, 3, groups=8),
        "project": nn.Conv2d(8, 4, 1),
    }
    network = capture(Function(function, **layers), torch.randn(2, 8, 5, 5))
    assert paths(network) == [("first", "second"), ("depthwise", "project")]


def test_the_arms_of_a_u_net_are_in_one_block():
    (large,) = [layers for layers in paths(network_of("unet")) if len(layers) > 1]
    assert large == ("down2.0", "down2.3", "bottom.0", "bottom.3", "up2", "join2.0", "join2.3", "up1")


def test_where_several_values_come_out_the_last_block_ends_at_the_output():
    last = blocks(network_of("ssd"))[-1]
    assert last.exit.op == "output"
    assert {"boxes.0", "boxes.1", "scores.0", "scores.1", "coarse.conv.2"} <= set(last.layers)


def linear() -> nn.Linear:
    return nn.Linear(4, 4)


def pair() -> tuple[Tensor, Tensor]:
    return torch.randn(2, 4), torch.randn(2, 4)


def test_with_several_inputs_blocks_begin_where_these_have_met():
    def function(m: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return m.head(F.relu(m.left(x) + m.right(y)))

    network = capture(Function(function, left=linear(), right=linear(), head=linear()), pair())
    (block,) = blocks(network)
    assert (block.entry.name, block.exit.name, block.layers) == ("add", "head", ("head",))


def test_an_input_that_is_read_late_keeps_all_values_before_from_being_a_cut():
    def function(m: nn.Module, x: Tensor, mask: Tensor) -> Tensor:
        return m.head(m.second(m.first(x)) * mask)

    network = capture(Function(function, first=linear(), second=linear(), head=linear()), pair())
    assert paths(network) == [("head",)]


def test_an_input_that_nobody_reads_does_not_count():
    def function(m: nn.Module, x: Tensor, unused: Tensor) -> Tensor:
        return m.second(m.first(x))

    network = capture(Function(function, first=linear(), second=linear()), pair())
    assert paths(network) == [("first",), ("second",)]


def test_a_network_without_layers_has_no_blocks():
    assert blocks(capture(nn.Sequential(nn.ReLU(), nn.Flatten()), torch.randn(2, 3, 4))) == []


def test_several_inputs_that_never_meet_leave_no_blocks():
    function = Function(lambda m, x, y: (m.left(x), m.right(y)), left=linear(), right=linear())
    assert blocks(capture(function, pair())) == []


def test_both_calls_of_a_layer_are_in_one_block():
    function = Function(lambda m, x: m.last(m.one(m.two(m.one(x)))), one=linear(), two=linear(), last=linear())
    network = capture(function, torch.randn(2, 4))
    assert paths(network) == [("one", "two"), ("last",)]
    x = torch.randn(3, 4)
    assert torch.equal(run_blocks(network, x), network(x))


def test_an_activation_of_several_operators_belongs_to_the_layer_before_and_pooling_to_the_one_after():
    def function(m: nn.Module, x: Tensor) -> Tensor:
        y = m.first(x)
        return m.second(F.avg_pool2d(y * torch.sigmoid(y), 2))

    network = capture(Function(function, first=nn.Conv2d(3, 4, 3), second=nn.Conv2d(4, 2, 1)), torch.randn(2, 3, 8, 8))
    first, second = blocks(network)
    assert [node.name for node in first.nodes] == ["first", "sigmoid", "mul"]
    assert [node.name for node in second.nodes] == ["avg_pool2d", "second"]


def test_what_comes_before_the_first_layer_is_in_the_first_block_and_after_the_last_in_the_last():
    network = capture(nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(12, 4), nn.Softmax(1)), torch.randn(2, 3, 4))
    (block,) = blocks(network)
    assert (block.entry.op, [kind(network.module, node) for node in block.nodes]) == (
        "placeholder",
        ["relu", "reshape", "linear", "softmax"],
    )


def test_what_is_computed_from_stored_tensors_is_in_the_block_that_reads_it():
    class Token(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token = nn.Parameter(torch.randn(1, 1, 4))
            self.first, self.second = linear(), linear()

        def forward(self, x: Tensor) -> Tensor:
            return self.second(torch.cat([self.token.expand(x.shape[0], -1, -1), self.first(x)], 1))

    network = capture(Token(), torch.randn(2, 3, 4))
    assert [node.name for node in blocks(network)[1].nodes] == ["expand", "cat", "second"]
    x = torch.randn(5, 3, 4)
    assert torch.equal(run_blocks(network, x), network(x))


def test_sizes_of_values_elsewhere_follow_the_number_of_samples():
    def function(m: nn.Module, x: Tensor) -> Tensor:
        n = x.shape[0]
        return m.last(m.windows(m.first(x).reshape(n * 3, 2, 4))).reshape(n, 6, 4) * 2

    network = capture(Function(function, first=linear(), windows=linear(), last=linear()), torch.randn(2, 6, 4))
    assert paths(network) == [("first",), ("windows",), ("last",)]
    x = torch.randn(7, 6, 4)
    assert torch.equal(run_blocks(network, x), network(x))


def test_a_block_as_a_module_shares_its_layers():
    network = capture(nn.Sequential(linear(), nn.ReLU(), linear()), torch.randn(2, 4))
    quantize(network)
    x = torch.randn(5, 4)
    calibrate(network, x)
    block = as_module(network, blocks(network)[1])
    weight = network.layers[1].stored_weight
    assert any(parameter is weight for parameter in block.parameters())
    before = block(x)
    with torch.no_grad():
        weight.mul_(-1)
    assert not torch.equal(block(x), before)
    assert block.training == network.module.training
