import itertools
from functools import partial

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from microjoule.capture.export import capture
from microjoule.compression.low_rank import low_rank, relative_error, variational_ranks
from microjoule.costs.count import costs
from microjoule.errors import DataError, GraphError, SettingError
from microjoule.execution.moments import input_moments
from microjoule.execution.run import run
from microjoule.graph.edit import set_bias, set_weight
from microjoule.graph.factor import unfit
from microjoule.numerics.least_squares import best_bias, trusted
from microjoule.numerics.low_rank import approximated
from microjoule.numerics.low_rank_shapes import METHODS, full_rank
from microjoule.records.compressed import Factorized, LayerFactorized
from microjoule.records.skipped import Skipped
from microjoule.zoo.digits_mobilenet import DigitsMobileNet
from microjoule.zoo.resnet_cifar import CifarResNet
from microjoule.zoo.vit import VisionTransformer
from tests.capture.models import Function, images

NETWORKS = {
    "ResNet-20": (partial(CifarResNet, 3), (3, 32, 32)),
    "MobileNetV2": (DigitsMobileNet, (1, 8, 8)),
    "ViT": (VisionTransformer, (3, 64, 64)),
}


@pytest.fixture
def network():
    torch.manual_seed(0)
    modules = {"wide": nn.Conv2d(3, 8, 3, stride=2, padding=1), "norm": nn.BatchNorm2d(8)}
    modules |= {"deep": nn.Conv2d(8, 6, 3, bias=False), "head": nn.Linear(6, 5)}
    return capture(
        Function(lambda m, x: m.head(m.deep(m.norm(m.wide(x)).relu()).relu().mean((2, 3))), **modules).eval(),
        images(2, 3, 9, 9),
    )


# Laws -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)], ids=str)
def test_full_ranks_change_no_network(name, dtype, tolerance):
    build, shape = NETWORKS[name]
    torch.manual_seed(0)
    network = capture(build().eval(), images(2, *shape))
    network.to(dtype)
    x = torch.randn(2, *shape).to(dtype)
    before = run(network, (x,))
    forms = itertools.cycle(METHODS)
    fit = [layer for layer in network.layers if unfit(network, layer) is None]
    method = {layer.path: next(forms) for layer in fit}
    one_tap = [layer.stored_weight.shape[2:].numel() == 1 for layer in fit]
    ranks = {
        layer.path: full_rank(tuple(layer.stored_weight.shape), "output" if single else method[layer.path])
        for layer, single in zip(fit, one_tap, strict=True)
    }
    record = low_rank(network, ranks, method=method)
    assert len(record.layers) == len(fit)
    assert record.skipped == ()
    assert max(one.error for one in record.layers) < tolerance**2
    assert (run(network, (x,)) - before).abs().max() <= tolerance * before.abs().max()


@pytest.mark.parametrize("data", [False, True], ids=["data-free", "data-aware"])
@pytest.mark.parametrize("method", METHODS)
def test_it_is_the_network_with_effective_weights(network, method, data):
    """What a caller measures by weights and biases alone is what the factors compute."""
    x = images(20, 3, 9, 9)
    whole = network.copy()
    for layer in whole.layers:
        known = input_moments(whole, x, [layer])[layer.path] if data and layer.path == "wide" else None
        if layer.path != "wide":
            continue
        factored = approximated(layer.stored_weight, method, 2, None if known is None else trusted(known)[0])
        set_weight(layer, factored.weight)
        if known is not None:
            set_bias(whole, layer, best_bias(factored.weight.flatten(1)[None], known)[0])
    low_rank(network, {"wide": 2}, method=method, data=x if data else None)
    assert_close(run(network, (x,)), run(whole, (x,)), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_data_make_the_output_change_less(network, method):
    x, ranks = images(200, 3, 9, 9), {"deep": 2}
    known = input_moments(network, x, network.layers)["deep"]
    weight = network.layer("deep").weight.detach().clone()
    free = approximated(weight, method, 2).weight
    (layer,) = low_rank(network, ranks, method=method, data=x).layers
    assert layer.error < relative_error(weight, free, known)


def test_few_inputs_are_believed_as_far_as_they_tell():
    torch.manual_seed(0)
    x = torch.randn(1010, 60) @ torch.randn(60, 60)
    network = capture(nn.Sequential(nn.Linear(60, 30)).eval(), x[:2])
    (layer,) = network.layers
    weight, known = layer.weight.detach().clone(), input_moments(network, x[:30], [layer])[layer.path]
    others = input_moments(network, x[30:], [layer])[layer.path]
    low_rank(network, {layer.path: 25}, data=x[:30])
    first, second = (one.weight for one in network.layers)
    at_its_word = approximated(weight, "output", 25, known.second[0]).weight
    assert relative_error(weight, second @ first, others) < 0.8 * relative_error(weight, at_its_word, others)


def test_the_error_told_is_that_of_the_output(network):
    """All places of all samples: the variance that is lost, and no mean."""
    x, before = images(40, 3, 9, 9), network.copy()
    (layer,) = low_rank(network, {"deep": 3}, method="output", data=x).layers
    with torch.no_grad():
        inputs = before.layer("wide").owner(x)
        inputs = before.module.get_submodule("norm")(inputs).relu()
        wanted = before.layer("deep").owner(inputs)
        first, second = (network.layer(f"deep.{name}").owner for name in ("first", "second"))
        change = second(first(inputs)) - wanted
    assert_close(change.mean((0, 2, 3)), torch.zeros(6), atol=1e-5, rtol=0)
    variance = wanted.var((0, 2, 3), unbiased=False).sum()
    assert layer.error == pytest.approx(float(change.square().mean((0, 2, 3)).sum() / variance), rel=1e-3)


# The record -----------------------------------------------------------------------------------------------------------


def test_the_record_by_hand(network):
    weight = network.layer("head").weight.detach().clone()
    record = low_rank(network, {"head": 2, "wide": (2, 3)}, method={"head": "spatial", "wide": "tucker"})
    wide, head = record.layers
    assert (record.source, record.samples, record.skipped) == (None, 0, ())
    assert (wide.layer, wide.method, wide.ranks, wide.full_ranks) == ("wide", "tucker", (2, 3), (3, 8))
    assert (wide.macs_before, wide.macs_after) == (25 * 8 * 27, 81 * 6 + 25 * 54 + 25 * 24)
    values = torch.linalg.svdvals(weight).square()
    error = pytest.approx(float(values[2:].sum() / values.sum()), rel=1e-5)
    assert head == LayerFactorized("head", "output", (2,), (5,), 30, 22, error)
    assert network.history[-1] is record
    counted = {one.layer: one.macs for one in costs(network).layers}
    assert counted["wide.first"] + counted["wide.core"] + counted["wide.last"] == wide.macs_after
    assert counted["head.first"] + counted["head.second"] == head.macs_after


def test_the_record_of_data(network):
    record = low_rank(network, {"head": 2}, data=images(20, 3, 9, 9), samples=7)
    assert (record.source, record.samples) == ("Tensor", 7)


def test_a_bias_comes_with_data_alone(network):
    free = network.copy()
    low_rank(free, {"deep": 2})
    assert free.layer("deep.second").bias is None
    low_rank(network, {"deep": 2}, data=images(20, 3, 9, 9))
    assert network.layer("deep.second").bias is not None


def test_what_cannot_be_replaced_is_skipped_with_the_reason():
    modules = {"grouped": nn.Conv2d(4, 4, 3, groups=2), "line": nn.Conv1d(4, 4, 3), "head": nn.Linear(5, 2)}
    network = capture(
        Function(lambda m, x: m.head(m.line(m.grouped(x).flatten(2))), **modules).eval(), images(2, 4, 9, 3)
    )
    record = low_rank(network, {"line": 2, "grouped": 2})
    assert record.layers == ()
    assert record.skipped == (
        Skipped("grouped", "it is grouped: each of its 2 groups is a matrix of its own"),
        Skipped("line", "the form spatial is for kernels of two axes"),
    )


def test_nothing_asked_for_is_nothing_done(network):
    assert low_rank(network, {}, data=images(2, 3, 9, 9)) == Factorized("Tensor", 2, (), ())
    assert [layer.path for layer in network.layers] == ["wide", "deep", "head"]


# Refused --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"ranks": {"had": 2}}, GraphError, "had: is no layer of this network\n  nearest: head"),
        ({"ranks": {"deep": 2, "head": 6}}, SettingError, r"ranks\['head'\]: is 6 for a weight of shape \(5, 6\)"),
        ({"ranks": {"head": 2}, "method": "svd"}, SettingError, "method: is 'svd' for head\n  give one of spatial"),
        ({"ranks": {"head": 2}, "method": {"deep": "input"}}, SettingError, "method: is None for head"),
        ({"ranks": {"deep": 2}, "data": torch.ones(2, 4, 9, 9)}, DataError, "and the network was captured for"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_changed(network, settings, error, message):
    before = list(network.state_dict())
    with pytest.raises(error, match=message):
        low_rank(network, **settings)
    assert list(network.state_dict()) == before
    assert len(network.history) == 1


# Ranks ----------------------------------------------------------------------------------------------------------------


def test_ranks_that_stand_out_from_noise_are_found(network):
    layer = network.layer("deep")
    generator = torch.Generator().manual_seed(0)
    core = torch.randn(3, 2, 3, 3, generator=generator)
    sides = torch.randn(6, 3, generator=generator), torch.randn(2, 8, generator=generator)
    noise = 0.01 * torch.randn(layer.weight.shape, generator=generator)
    set_weight(layer, torch.einsum("op,prij,rc->ocij", sides[0], core, sides[1]) + noise)
    assert variational_ranks(network, [layer]) == {"deep": (2, 3)}
    assert list(variational_ranks(network)) == ["wide", "deep"]
    record = low_rank(network, variational_ranks(network, [layer]), method="tucker")
    assert record.layers[0].error < 1e-3


def test_a_layer_of_noise_keeps_a_rank_of_one(network):
    layer = network.layer("deep")
    set_weight(layer, torch.zeros_like(layer.weight))
    assert variational_ranks(network, [layer]) == {"deep": (1, 1)}


def test_the_relative_error_by_hand():
    weight = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
    assert relative_error(weight, weight) == 0
    assert relative_error(weight, torch.diag(torch.tensor([0.0, 4.0]))) == pytest.approx(9 / 25)
    assert relative_error(0 * weight, 0 * weight) == 0
