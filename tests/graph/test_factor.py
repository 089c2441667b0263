import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from microjoule.capture.export import capture
from microjoule.execution.run import run
from microjoule.graph.edit import quantize_weight, set_weight
from microjoule.graph.factor import replace_by_factors, unfit
from microjoule.graph.fold import fold_batch_norms
from microjoule.graph.network import set_submodule
from microjoule.graph.quantizer import Quantizer
from microjoule.numerics.gaussian import Gaussian
from microjoule.numerics.grid import IntGrid, Scheme
from microjoule.numerics.low_rank import approximated
from microjoule.numerics.low_rank_shapes import METHODS, full_rank
from tests.capture.models import Function, images

CONVOLUTIONS = {
    "plain": nn.Conv2d(3, 4, 3),
    "strided and padded": nn.Conv2d(3, 4, (3, 5), stride=(2, 3), padding=(1, 2)),
    "dilated": nn.Conv2d(3, 4, 3, dilation=(2, 3), padding=(1, 4), stride=2),
    "same": nn.Conv2d(3, 4, (2, 4), padding="same", dilation=(1, 2)),
    "valid": nn.Conv2d(3, 4, (2, 3), padding="valid", stride=(3, 1)),
    "reflect": nn.Conv2d(3, 4, 3, padding=(1, 2), padding_mode="reflect", stride=(1, 2)),
    "circular": nn.Conv2d(3, 4, 3, padding=(2, 1), padding_mode="circular"),
    "replicate": nn.Conv2d(3, 4, 3, padding=1, padding_mode="replicate", bias=False),
    "reflect same": nn.Conv2d(3, 4, 3, padding="same", padding_mode="reflect"),
    "one tap": nn.Conv2d(3, 4, 1, stride=2, padding=1),
    "a row": nn.Conv2d(3, 4, (1, 3), stride=2, padding=(1, 1)),
    "a column": nn.Conv2d(3, 4, (3, 1), stride=(1, 2), padding=(1, 1), padding_mode="reflect"),
}
cases = pytest.mark.parametrize("name", CONVOLUTIONS)
forms = pytest.mark.parametrize("method", METHODS)


def network_of(layer, *shape):
    """A network of a layer alone; capturing would make some padding an operator of its own."""
    torch.manual_seed(0)
    layer.reset_parameters()
    x = images(2, *(shape or (3, 9, 11)))
    if not isinstance(layer, nn.Conv2d):
        return capture(nn.Sequential(layer).eval(), x)
    bare = nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size)
    network = capture(nn.Sequential(bare).eval(), x)
    set_submodule(network.module, "0", copy.deepcopy(layer).eval())
    return network


def factorized(network, method, rank, *, bias=None):
    """The network with its one layer in factors, and the same with the layer's weight as their product."""
    network.to(torch.float64)
    (layer,) = network.layers
    factored = approximated(layer.stored_weight, method, rank)
    whole = network.copy()
    set_weight(whole.layers[0], factored.weight)
    paths = replace_by_factors(network, layer, factored, layer.bias if bias is None else bias)
    network.recompile()
    return whole, paths


def assert_same_outputs(network, whole):
    x = torch.randn(3, *network.example.args[0].shape[1:], dtype=torch.float64)
    expected = run(whole, (x,))
    assert expected.abs().max() > 0.1
    assert (run(network, (x,)) - expected).abs().max() < 1e-12


@cases
@forms
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
def test_a_chain_computes_what_its_product_does(name, method):
    network = network_of(CONVOLUTIONS[name])
    full = full_rank(tuple(network.layers[0].stored_weight.shape), method)
    whole, paths = factorized(network, method, max(1, full - 1))
    names = ("first", "core", "last") if method == "tucker" else ("first", "second")
    assert paths == tuple(f"0.{name}" for name in names)
    assert [layer.path for layer in network.layers] == list(paths)
    assert_same_outputs(network, whole)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv1d(3, 4, 3, stride=2, padding=1, dilation=2), (3, 12)),
        (nn.Conv3d(2, 3, (3, 2, 1), stride=(1, 2, 1), padding=(1, 0, 2)), (2, 5, 6, 4)),
        (nn.Linear(5, 4), (7, 5)),
        (nn.Linear(5, 4, bias=False), (5,)),
    ],
    ids=["1-D", "3-D", "linear of tokens", "linear"],
)
@pytest.mark.parametrize("method", ["input", "output", "tucker"])
def test_other_layers_have_chains_too(layer, shape, method):
    network = network_of(layer, *shape)
    whole, _ = factorized(network, method, 2)
    assert_same_outputs(network, whole)


def test_strides_and_padding_by_hand():
    expected = {
        "spatial": [((3, 1), (2, 1), (1, 0), (2, 1)), ((1, 5), (1, 3), (0, 2), (1, 4))],
        "input": [((1, 1), (1, 1), (0, 0), (1, 1)), ((3, 5), (2, 3), (1, 2), (2, 4))],
        "output": [((3, 5), (2, 3), (1, 2), (2, 4)), ((1, 1), (1, 1), (0, 0), (1, 1))],
        "tucker": [
            *(((1, 1), (1, 1), (0, 0), (1, 1)), ((3, 5), (2, 3), (1, 2), (2, 4))),
            ((1, 1), (1, 1), (0, 0), (1, 1)),
        ],
    }
    for method, geometry in expected.items():
        network = network_of(nn.Conv2d(3, 4, (3, 5), stride=(2, 3), padding=(1, 2), dilation=(2, 4)), 3, 19, 23)
        factorized(network, method, 2)
        owners = [layer.owner for layer in network.layers]
        assert [(one.kernel_size, one.stride, one.padding, one.dilation) for one in owners] == geometry


def test_the_last_factor_has_the_bias_and_what_was_known():
    network = network_of(nn.Conv2d(3, 4, 3))
    known = Gaussian(torch.zeros(4), torch.ones(4))
    network.preactivations["0"] = known
    factorized(network, "spatial", 2, bias=torch.arange(4.0))
    first, second = (layer.owner for layer in network.layers)
    assert first.bias is None
    assert second.bias.tolist() == [0, 1, 2, 3]
    assert list(network.preactivations) == ["0.second"]
    assert torch.equal(network.preactivations["0.second"].std, known.std.double())
    assert sorted(network.state_dict()) == ["0.first.weight", "0.second.bias", "0.second.weight"]


@pytest.mark.parametrize("learns", [True, False])
def test_factors_learn_and_train_as_the_layer_did(learns):
    network = network_of(nn.Conv2d(3, 4, 3).requires_grad_(learns))
    network.module.get_submodule("0").train(learns)
    factorized(network, "tucker", 2)
    assert [one.requires_grad for one in network.module.parameters()] == [learns] * 4
    assert [layer.owner.training for layer in network.layers] == [learns] * 3
    assert network.module.get_submodule("0").training == learns


def test_a_layer_without_a_bias_may_get_one():
    network = network_of(nn.Conv2d(3, 4, 3, bias=False).requires_grad_(False))
    factorized(network, "output", 2, bias=torch.ones(4))
    assert network.layers[-1].owner.bias.tolist() == [1, 1, 1, 1]
    assert not network.layers[-1].owner.bias.requires_grad


def test_batch_norms_and_activations_stay_and_fold_into_the_last_factor():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU()).eval()
    module[1].running_var.uniform_(0.5, 2)
    network = capture(module, images(2, 3, 9, 9))
    whole, _ = factorized(network, "spatial", 3)
    assert_same_outputs(network, whole)
    record = fold_batch_norms(network)
    assert record.folded == (("1", "0.second"),)
    assert_same_outputs(network, whole)


class Doubled(nn.Conv2d):
    """Not what its base class computes."""

    def forward(self, x):
        return 2 * super().forward(x)


def test_what_cannot_be_replaced_is_told():
    modules = {"grouped": nn.Conv2d(4, 4, 3, groups=2), "up": nn.ConvTranspose2d(4, 4, 2)}
    modules |= {"twice": nn.Conv2d(4, 4, 1), "fine": nn.Conv2d(4, 4, 3)}
    network = capture(
        Function(lambda m, x: m.fine(m.twice(m.twice(m.up(m.grouped(x))))), **modules).eval(), images(2, 4, 9, 9)
    )
    reasons = {layer.path: unfit(network, layer) for layer in network.layers}
    assert reasons == {
        "grouped": "it is grouped: each of its 2 groups is a matrix of its own",
        "up": "it is a ConvTranspose2d, which has no low-rank forms here",
        "twice": "it is used more than once",
        "fine": None,
    }


def test_a_quantized_layer_cannot_be_replaced():
    network = network_of(nn.Conv2d(3, 4, 3))
    (layer,) = network.layers
    quantize_weight(layer, Quantizer(Scheme(IntGrid(8))))
    assert parametrize.is_parametrized(layer.owner)
    assert unfit(network, network.layers[0]) == "its weights are quantized already: factorize before that"


def test_a_function_cannot_be_replaced():
    held = nn.Module()
    held.odd = nn.Parameter(torch.randn(2, 3))
    network = capture(Function(lambda m, x: nn.functional.linear(x, m.held.odd), held=held).eval(), images(2, 3))
    assert unfit(network, network.layers[0]) == "it is a function, not a layer with weights of its own"


def test_another_class_cannot_be_replaced():
    network = network_of(nn.Conv2d(3, 4, 3))
    doubled = Doubled(3, 4, 3)
    network.module.add_module("0", doubled)
    assert unfit(network, network.layers[0]) == "it is a Doubled, which has no low-rank forms here"


def test_the_spatial_form_is_of_two_axes():
    network = network_of(nn.Conv1d(3, 4, 3), 3, 9)
    assert unfit(network, network.layers[0], "spatial") == "the form spatial is for kernels of two axes"
    assert unfit(network, network.layers[0], "input") is None
