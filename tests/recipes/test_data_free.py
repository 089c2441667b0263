import pytest
import torch
from torch import nn
from torch.testing import assert_close

from microjoule.capture.export import capture
from microjoule.costs.target import names
from microjoule.errors import DataError, GraphError, InputRangeWarning, SettingError, TargetError
from microjoule.graph.card import ModelCard
from microjoule.quantization.simulate import rounded
from microjoule.recipes.data_free import data_free, naive
from microjoule.recipes.learned_rounding import gptq
from microjoule.records.facts import (
    BatchNormsFolded,
    BiasesCorrected,
    Calibrated,
    ConstantChannelsFolded,
    NoiseEqualized,
    Placed,
    Run,
    WeightRanges,
)
from microjoule.records.rounded import Frozen, TiesAvoided, WeightsBalanced
from tests.capture.models import Function, images
from tests.quantization.networks import conv, uneven


def batch_normed():
    return nn.Sequential(
        conv(3, 6),
        nn.BatchNorm2d(6),
        nn.ReLU6(),
        conv(6, 6, groups=6),
        nn.BatchNorm2d(6),
        nn.ReLU6(),
        conv(6, 4, 1),
        nn.BatchNorm2d(4),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    )


MODULES = {
    "batch norms": (batch_normed, (3, 8, 8)),
    "no batch norms": (lambda: nn.Sequential(conv(3, 6), nn.ReLU(), conv(6, 4)), (3, 8, 8)),
    "1d": (
        lambda: nn.Sequential(nn.Conv1d(3, 6, 3, padding=1), nn.BatchNorm1d(6), nn.ReLU(), nn.Conv1d(6, 4, 3)),
        (3, 9),
    ),
    "1d without batch norms": (lambda: nn.Sequential(nn.Conv1d(3, 6, 3), nn.ReLU(), nn.Conv1d(6, 4, 3)), (3, 9)),
    "vectors": (lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)), (6,)),
    "tokens": (lambda: nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 3)), (5, 6)),
    "gated": (lambda: nn.Sequential(conv(3, 6), nn.BatchNorm2d(6), nn.Hardswish(), conv(6, 4)), (3, 8, 8)),
}


def network_of(name="batch norms"):
    torch.manual_seed(0)
    make, shape = MODULES[name]
    example = images(4, *shape)
    card = ModelCard((example.min().item(), example.max().item()))
    return capture(uneven(make()).eval(), example, card=card), images(64, *shape)


def integers(network):
    return [rounded(layer) for layer in network.layers]


def state(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def sqnr_db(reference, value):
    return 10 * torch.log10(reference.square().mean() / (value - reference).square().mean()).item()


@pytest.mark.parametrize("target", names())
@pytest.mark.parametrize("name", MODULES)
def test_the_outputs_stay_close_and_every_value_has_a_range(name, target):
    network, x = network_of(name)
    result = data_free(network, target=target)
    assert all(quantizer.calibrated for quantizer in result.quantizers.values())
    assert all(layer.quantizer is None or layer.quantizer.integers is not None for layer in result.layers)
    with torch.no_grad():
        assert sqnr_db(network(x), result(x)) > 15


@pytest.mark.parametrize("name", ["batch norms", "vectors"])
def test_the_network_that_is_given_is_left_alone(name):
    network, x = network_of(name)
    before, outputs, length = state(network), network(x), len(network.history)
    preactivations = dict(network.preactivations)
    data_free(network, target="per-tensor")
    assert len(network.history) == length
    assert network.preactivations == preactivations
    assert not network.quantizers
    assert state(network).keys() == before.keys()
    assert all(torch.equal(value, before[key]) for key, value in state(network).items())
    assert torch.equal(network(x), outputs)


@pytest.mark.parametrize("name", ["batch norms", "no batch norms"])
def test_the_same_seed_gives_the_same_integers(name):
    network, _ = network_of(name)
    one, other = data_free(network, seed=3), data_free(network, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(integers(one), integers(other), strict=True))
    first, second = state(one), state(other)
    assert all(torch.equal(value, second[key]) for key, value in first.items())


@pytest.mark.slow
def test_another_seed_gives_other_noise():
    network, _ = network_of("no batch norms")
    one, other = state(data_free(network, seed=0)), state(data_free(network, seed=1))
    assert any(not torch.equal(value, other[key]) for key, value in one.items())


def records(network, skip=1):
    return [type(record) for record in network.history[skip:]]


def test_the_history_says_what_was_done_in_order():
    network, _ = network_of()
    common = [BatchNormsFolded, WeightRanges, ConstantChannelsFolded]
    rest = [WeightRanges, Placed, Calibrated, TiesAvoided, WeightsBalanced, BiasesCorrected, Frozen, Run]
    assert records(data_free(network, target="per-tensor")) == [*common, NoiseEqualized, *rest]
    assert records(data_free(network, target="onnxruntime")) == [*common, *rest]


def test_the_run_names_its_settings():
    network, _ = network_of()
    run = data_free(
        network, target="per-tensor", weights=6, layers={"0": None}, input_range=(-3.0, 3.0), seed=7
    ).history[-1]
    assert (run.recipe, run.seed) == ("data_free", 7)
    assert run.settings == {
        "target": "per-tensor",
        "weights": "6",
        "layers": "{'0': None}",
        "input_range": "(-3.0, 3.0)",
        "input_range from": "declared",
    }
    assert run.seconds > 0


def source_of(result):
    return [record.source for record in result.history if isinstance(record, Calibrated | BiasesCorrected)]


@pytest.mark.slow
def test_statistics_noise_or_data_whichever_there_is():
    assert all("statistics" in source for source in source_of(data_free(network_of()[0], target="per-tensor")))
    without, x = network_of("no batch norms")
    assert all("generated noise" in source for source in source_of(data_free(without)))
    assert all("Tensor" in source for source in source_of(data_free(network_of()[0], data=x)))


def test_what_statistics_cannot_tell_noise_tells():
    result = data_free(network_of("gated")[0])
    calibrated = [record for record in result.history if isinstance(record, Calibrated)]
    assert ["statistics" in record.source for record in calibrated] == [True, False]
    assert calibrated[0].ranges
    assert calibrated[1].ranges


def test_channels_of_uneven_size_are_saved_by_equalization_where_a_tensor_has_one_scale():
    network, x = network_of()
    with torch.no_grad():
        reference = network(x)
        plain = sqnr_db(reference, naive(network, x, target="per-tensor", weights=5)(x))
        careful = sqnr_db(reference, data_free(network, target="per-tensor", weights=5)(x))
    assert careful > plain + 3


def test_a_layer_may_stay_in_floating_point_or_have_other_bits():
    network, _ = network_of()
    result = data_free(network, layers={"0": None, "6": 4})
    assert result.layer("0").quantizer is None
    assert result.layer("6").quantizer.scheme.grid.bits == 4
    assert result.layer("3").quantizer.scheme.grid.bits == 8


@pytest.mark.slow
def test_with_a_scale_for_each_channel_nothing_is_equalized():
    result = data_free(network_of()[0], target="onnxruntime")
    assert all(layer.quantizer.scale.dim() == 1 for layer in result.layers)
    result = data_free(network_of()[0], target="per-tensor")
    assert all(layer.quantizer.scale.dim() == 0 for layer in result.layers)


def test_a_fixed_batch_is_kept_to():
    network, _ = network_of("no batch norms")
    network.dynamic_batch = False
    assert all(quantizer.calibrated for quantizer in data_free(network).quantizers.values())


def test_naive_folds_and_takes_the_smallest_and_largest():
    network, x = network_of()
    before = state(network)
    result = naive(network, x, activations=8)
    assert records(result) == [BatchNormsFolded, Placed, Calibrated, TiesAvoided, Frozen, Run]
    found = next(record for record in result.history if isinstance(record, Calibrated)).ranges[0]
    assert (found.low, found.high) == pytest.approx((x.min().item(), x.max().item()))
    assert (result.history[-1].recipe, result.history[-1].seed) == ("naive", None)
    assert all(torch.equal(value, before[key]) for key, value in state(network).items())
    with torch.no_grad():
        assert sqnr_db(network(x), result(x)) > 15


def test_a_network_of_indices_takes_data():
    torch.manual_seed(0)
    network = capture(nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 3)), torch.randint(0, 9, (4, 5)))
    x = torch.randint(0, 9, (32, 5))
    result = data_free(network, data=x)
    assert_close(result(x), network(x), rtol=0.1, atol=0.1)
    with pytest.raises(DataError, match="noise: cannot stand in for input"):
        data_free(network, input_range=(0.0, 1.0))


@pytest.mark.parametrize("inputs", [(0.0, 0.0), (1.0, -1.0), (0.0, float("inf")), (float("nan"), 1.0)])
def test_an_empty_range_of_inputs_is_refused(inputs):
    with pytest.raises(SettingError, match="input_range: is"):
        data_free(network_of()[0], input_range=inputs)


def test_an_example_of_zeros_is_no_range():
    network = capture(batch_normed().eval(), torch.zeros(2, 3, 8, 8))
    with pytest.raises(SettingError, match=r"input_range: is \(0.0, 0.0\)"):
        data_free(network)


def test_what_quantize_refuses_is_refused():
    network, x = network_of()
    with pytest.raises(GraphError, match="is no layer of this network"):
        data_free(network, layers={"nowhere": 4})
    with pytest.raises(TargetError, match="is no target"):
        data_free(network, target="abacus")
    with pytest.raises(TargetError, match="takes weights of"):
        naive(network, x, weights=16)
    with pytest.raises(GraphError, match="has quantizers already"):
        data_free(data_free(network))


def test_products_with_stored_tensors_that_are_no_layers_weights_are_quantized_too():
    """A batch of stored matrices, as experts have them: there is nothing to balance or correct, and nothing to fit."""
    torch.manual_seed(0)
    experts = Function(lambda m, x: torch.bmm(x.expand(3, -1, -1), m.k.weight), k=nn.Module())
    experts.k.register_parameter("weight", nn.Parameter(torch.randn(3, 8, 4)))
    x = torch.randn(1, 50, 8)
    network = capture(experts, x)
    quantized = data_free(network, data=[x])
    signal, noise = experts(x), experts(x) - quantized(x)
    assert signal.square().sum() / noise.square().sum() > 1000
    with pytest.raises(GraphError, match=r"none for the weight of a layer.*\n.*mj.recipes.data_free"):
        gptq(network, [x])


@pytest.mark.parametrize("recipe", [data_free, gptq])
def test_data_beyond_a_declared_range_is_told(recipe):
    network, x = (
        capture(nn.Sequential(conv(3, 6), nn.ReLU(), conv(6, 4)).eval(), images(4, 3, 8, 8)),
        images(20, 3, 8, 8),
    )
    with pytest.warns(InputRangeWarning, match="0 to 1 as declared"):
        recipe(network, data=x, input_range=(0, 1))
    with pytest.raises(SettingError, match=r"is \(1.0, 0.0\)"):
        recipe(network, data=x, input_range=(1, 0))
