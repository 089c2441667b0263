import pytest
import torch
import torch.nn.functional as F
from torch import nn

from microjoule.capture.export import capture
from microjoule.graph.edit import insert_quantizer, quantize_weight
from microjoule.graph.ops import Layer, arguments, kind, layers, tensor_inputs
from microjoule.graph.quantizer import Quantizer
from microjoule.numerics.grid import IntGrid, Scheme
from tests.capture.models import Function, images


def last(network):
    return network.graph.output_node().all_input_nodes[0]


def kind_of(module, x):
    network = capture(module, x)
    return kind(network.module, last(network))


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda m, x: F.relu(x), "relu"),
        (lambda m, x: F.relu6(x), "relu6|clamp"),
        (lambda m, x: x.clamp(0, 6), "clamp"),
        (lambda m, x: F.hardswish(x), "hardswish"),
        (lambda m, x: F.silu(x), "silu"),
        (lambda m, x: F.gelu(x), "gelu"),
        (lambda m, x: F.leaky_relu(x), "leaky_relu"),
        (lambda m, x: torch.sigmoid(x), "sigmoid"),
        (lambda m, x: x + x, "add"),
        (lambda m, x: x * x, "mul"),
        (lambda m, x: x - 1, "sub"),
        (lambda m, x: x / 2, "div"),
        (lambda m, x: torch.cat([x, x], 1), "concat"),
        (lambda m, x: F.max_pool2d(x, 2), "max_pool"),
        (lambda m, x: F.avg_pool2d(x, 2), "avg_pool"),
        (lambda m, x: F.adaptive_avg_pool2d(x, 1), "avg_pool"),
        (lambda m, x: x.mean((2, 3)), "mean"),
        (lambda m, x: x.flatten(1), "reshape"),
        (lambda m, x: x.unsqueeze(1), "reshape"),
        (lambda m, x: x.permute(0, 2, 3, 1), "transpose"),
        (lambda m, x: x.transpose(1, 2), "transpose"),
        (lambda m, x: x[:, 1:], "slice"),
        (lambda m, x: x.softmax(1), "softmax"),
        (lambda m, x: x @ x, "matmul"),
        (lambda m, x: F.pad(x, (1, 1)), "pad"),
        (lambda m, x: F.interpolate(x, scale_factor=2), "upsample_nearest"),
        (lambda m, x: F.interpolate(x, scale_factor=2, mode="bilinear"), "upsample_bilinear"),
        (lambda m, x: F.pixel_shuffle(x, 2), "pixel_shuffle"),
        (lambda m, x: F.scaled_dot_product_attention(x, x, x), "attention"),
        (lambda m, x: torch.linalg.inv(x), "None"),
    ],
)
def test_the_kind_of_a_function(function, expected):
    assert str(kind_of(Function(function), images(2, 4, 6, 6))) in expected.split("|")


def test_inputs_outputs_and_quantizers_have_kinds():
    network = capture(nn.Sequential(nn.Linear(4, 3)), images(2, 4))
    insert_quantizer(network, last(network), Quantizer(Scheme(IntGrid(8))))
    assert [kind(network.module, node) for node in network.graph.nodes] == [
        "placeholder",
        "linear",
        "quantizer",
        "output",
    ]


def test_arguments_by_name_with_defaults_of_the_schema():
    network = capture(Function(lambda m, x: F.max_pool2d(x, 2, padding=1)), images(2, 4, 6, 6))
    found = arguments(last(network))
    assert (found["kernel_size"], found["padding"], found["dilation"], found["ceil_mode"]) == (
        [2, 2],
        [1, 1],
        [1, 1],
        False,
    )


def test_stored_tensors_and_sizes_are_no_tensor_inputs():
    module = Function(lambda m, x: F.linear(x.reshape(x.shape[0], -1), m.linear.weight.abs()), linear=nn.Linear(8, 3))
    network = capture(module, images(2, 4, 2))
    assert [
        len(tensor_inputs(node))
        for node in network.graph.nodes
        if node.op == "call_function" and kind(network.module, node) == "reshape"
    ] == [1]


CASES = [
    (nn.Conv2d(4, 6, 3, groups=2), (4, 6, 6), "conv", 2, (6, 4), False),
    (nn.Conv2d(4, 4, 3, groups=4), (4, 6, 6), "conv", 4, (4, 4), True),
    (nn.Conv2d(4, 8, 3, groups=4), (4, 6, 6), "conv", 4, (8, 4), False),
    (nn.Conv1d(3, 5, 3, bias=False), (3, 6), "conv", 1, (5, 3), False),
    (nn.ConvTranspose2d(4, 6, 3, groups=2), (4, 6, 6), "conv_transpose", 2, (6, 4), False),
    (nn.ConvTranspose2d(4, 4, 3, groups=4), (4, 6, 6), "conv_transpose", 4, (4, 4), True),
    (nn.Linear(4, 6), (4,), "linear", 1, (6, 4), False),
]


@pytest.mark.parametrize("where", ["module", "function", "root"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: repr(case[0]))
def test_a_layer_reads_the_same_wherever_its_weight_is(where, case):
    owner, shape, name, groups, channels, depthwise = case
    functions = {
        "conv": F.conv1d if len(shape) == 2 else F.conv2d,
        "conv_transpose": F.conv_transpose2d,
        "linear": F.linear,
    }
    extra = {} if name == "linear" else {"groups": groups}

    class Stored(nn.Module):
        def __init__(self):
            super().__init__()
            self.kernel, self.offset = owner.weight, owner.bias

        def forward(self, x):
            return functions[name](x, self.kernel, self.offset, **extra)

    module = {"module": nn.Sequential(owner), "function": nn.Sequential(Stored()), "root": owner}[where]
    (layer,) = layers(capture(module, images(2, *shape)).module)
    assert layer.path == {"module": "0", "function": "0.kernel", "root": name}[where]
    assert (layer.kind, layer.groups, layer.depthwise) == (name, groups, depthwise)
    assert (layer.out_channels, layer.in_channels) == channels
    assert torch.equal(layer.weight, owner.weight)
    assert (layer.bias is None) == (owner.bias is None)
    by_output = layer.by_output(layer.stored_weight.detach())
    assert by_output.shape[:2] == (channels[0], channels[1] // groups)
    assert torch.equal(layer.in_layout(by_output), layer.stored_weight)


@pytest.mark.parametrize(
    ("owner", "shape"),
    [
        (nn.Conv1d(4, 6, 2), (4, 7)),
        (nn.Conv2d(4, 6, 2), (4, 7, 7)),
        (nn.ConvTranspose3d(4, 6, 2), (4, 2, 2, 2)),
        (nn.Linear(4, 6), (3, 4)),
    ],
    ids=lambda case: type(case).__name__ if isinstance(case, nn.Module) else "",
)
def test_channels_are_before_the_dimensions_of_the_kernel(owner, shape):
    (layer,) = layers(capture(nn.Sequential(owner), images(2, *shape)).module)
    x = images(2, *shape)
    assert (x.shape[layer.channel_axis], owner(x).shape[layer.channel_axis]) == (4, 6)


def test_the_first_output_of_a_grouped_transposed_layer_is_made_by_the_first_row():
    owner = nn.ConvTranspose2d(4, 6, 1, groups=2, bias=False)
    (layer,) = layers(capture(nn.Sequential(owner), images(2, 4, 3, 3)).module)
    rows = layer.by_output(layer.stored_weight.detach()).flatten(1)
    x = images(1, 4, 1, 1)
    expected = torch.cat([rows[:3] @ x[0, :2, 0], rows[3:] @ x[0, 2:, 0]]).flatten()
    torch.testing.assert_close(owner(x).detach().flatten(), expected)


def test_a_quantized_layer_shows_both_weights():
    network = capture(nn.Sequential(nn.Linear(4, 3)), images(2, 4))
    layer = network.layer("0")
    before = layer.weight.detach().clone()
    quantizer = Quantizer(Scheme(IntGrid(2), symmetric=True))
    quantizer.set_range(torch.tensor(-1.0), torch.tensor(1.0))
    quantize_weight(layer, quantizer)
    assert layer.quantizer is quantizer
    assert torch.equal(layer.stored_weight, before)
    assert torch.equal(layer.weight, quantizer(before))
    assert not torch.equal(layer.weight, before)


def test_a_computed_weight_is_no_layer():
    module = Function(lambda m, x: F.linear(x, m.linear.weight * x.sum()), linear=nn.Linear(4, 3))
    network = capture(module, images(2, 4))
    assert Layer.at(network.module, last(network)) is None
