import copy

import pytest
import torch
from torch import nn
from torch.utils import _pytree as pytree

from microjoule.capture.export import capture
from microjoule.errors import CaptureError
from microjoule.graph.fold import fold_batch_norms
from microjoule.graph.ops import kind
from tests.capture.models import MODELS, Function, images

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")


def assert_same(value, reference):
    """The same tree of equal tensors."""
    assert pytree.tree_structure(value) == pytree.tree_structure(reference)
    for a, b in zip(pytree.tree_leaves(value), pytree.tree_leaves(reference), strict=True):
        torch.testing.assert_close(a, b.to(a.dtype), rtol=1e-6, atol=1e-6)


def with_batch(args, size):
    return pytree.tree_map_only(torch.Tensor, lambda t: torch.cat([t] * size)[:size], args)


@pytest.fixture(scope="module", params=MODELS, ids=lambda name: name.replace(" ", "_"))
def captured(request):
    module, args = MODELS[request.param]
    for norm in module.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
    return module, args, capture(module, args)


def test_the_network_gives_what_the_model_gives(captured):
    module, args, network = captured
    module.eval()
    with torch.no_grad():
        assert_same(network(*args), module(*with_batch(args, 2)))
    record = network.history[0]
    assert record.largest_difference == 0.0 or (
        record.largest_difference <= 1e-6 and (record.replaced or record.converted_from)
    )


def test_another_batch_size_goes_through(captured):
    module, args, network = captured
    assert network.dynamic_batch
    module.eval()
    with torch.no_grad():
        for size in (1, 3):
            assert_same(network(*with_batch(args, size)), module(*with_batch(args, size)))


def test_the_state_dict_has_the_models_keys_and_values(captured):
    module, _, network = captured
    record = network.history[0]
    expected = {record.moved.get(key, key): value for key, value in module.state_dict().items()}
    kept = {key: value for key, value in expected.items() if key not in record.folded}
    found = network.state_dict()
    assert set(found) - set(kept) == ({"0.weight"} if "0.bias" in kept and record.folded else set(record.folded))
    assert all(torch.equal(found[key], kept[key].to(found[key].dtype)) for key in kept)


def test_tied_parameters_stay_tied(captured):
    module, _, network = captured
    folded = len(network.history[0].folded)
    made = 1 if folded else 0
    assert len(list(network.module.parameters())) == len(list(module.parameters())) - folded + made


def test_a_copy_computes_the_same_and_shares_no_parameter(captured):
    _, args, network = captured
    other = network.copy()
    with torch.no_grad():
        assert_same(other(*args), network(*args))
    assert set(other.state_dict()) == set(network.state_dict())
    assert not {id(p) for p in other.module.parameters()} & {id(p) for p in network.module.parameters()}


def test_training_and_evaluation_mode_reach_every_module(captured):
    _, args, network = captured
    other = network.copy().train()
    assert all(module.training for module in other.module.modules())
    other(*args)
    other.eval()
    assert not any(module.training for module in other.module.modules())


def kinds(name):
    module, args = MODELS[name]
    network = capture(module, args)
    return [kind(network.module, node) for node in network.graph.nodes if node.op == "call_module"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("depthwise", ["conv", "batch_norm"]),
        ("grouped", ["conv"]),
        ("dilated", ["conv"]),
        ("transposed", ["conv_transpose", "batch_norm"]),
        ("1d", ["conv", "batch_norm", "conv_transpose"]),
        ("reused layer", ["conv"] * 3),
        ("one layer at two paths", ["conv"] * 2),
        ("group norm", ["group_norm", "conv"]),
        ("layer norm", ["layer_norm", "linear"]),
        ("multi-head attention", ["linear"]),
        ("lstm", ["lstm"]),
        ("deep lstm", ["lstm"]),
        ("gru", ["gru"]),
        ("rnn", ["rnn"]),
        ("tied", ["embedding", "linear"]),
        ("write seen through a view", ["conv", "batch_norm"]),
        ("slice written to", ["conv", "conv"]),
        ("dropout", ["linear", "dropout", "dropout"]),
    ],
)
def test_operators_with_parameters_are_modules_again(name, expected):
    assert kinds(name) == expected


def test_modules_have_the_settings_of_the_models():
    module = nn.Sequential(
        nn.Conv2d(4, 8, (3, 1), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2, bias=False),
        nn.ConvTranspose2d(8, 6, 3, stride=2, padding=1, output_padding=1, groups=2),
        nn.BatchNorm2d(6, eps=1e-3, momentum=0.03),
        nn.Dropout(0.25),
    )
    network = capture(module, images(2, 4, 8, 8))
    for index, layer in enumerate(module):
        assert repr(network.module.get_submodule(str(index))) == repr(layer)


def test_batch_norms_learn_in_training_as_the_models_do():
    module = nn.Sequential(nn.Conv2d(4, 3, 1), nn.BatchNorm2d(3, momentum=0.2))
    network = capture(module, images(2, 4, 5, 5))
    other = copy.deepcopy(module).train()
    x = images(6, 4, 5, 5)
    torch.testing.assert_close(network.train()(x), other(x))
    torch.testing.assert_close(network.state_dict(), other.state_dict())


def test_dropout_drops_in_training_alone():
    network = capture(nn.Sequential(nn.Dropout(0.5)), torch.ones(2, 100))
    assert torch.equal(network(torch.ones(2, 100)), torch.ones(2, 100))
    dropped = network.train()(torch.ones(2, 100))
    assert set(dropped.unique().tolist()) == {0.0, 2.0}


def test_a_buffer_that_is_not_persistent_stays_so():
    network = capture(*MODELS["tokens"])
    assert "mean" in dict(network.module.named_buffers())
    assert "mean" not in network.state_dict()


def test_an_unused_parameter_is_kept():
    assert "unused" in dict(capture(*MODELS["tokens"]).module.named_parameters())


def test_layers_that_stay_functional_are_named_with_the_reason():
    module = Function(lambda m, x: torch.nn.functional.linear(x, m.linear.weight * x.mean()), linear=nn.Linear(4, 3))
    record = capture(module, images(2, 4)).history[0]
    assert [one.reason for one in record.functional_layers] == ["its weight is computed, not stored"]


def test_one_weight_with_two_settings_is_one_module_and_one_function():
    def twice(m, x):
        return (
            m.conv(x)
            + torch.nn.functional.conv2d(x, m.conv.weight, m.conv.bias, stride=1, padding=0, dilation=2)[..., :1]
        )

    module = Function(twice, conv=nn.Conv2d(2, 2, 1))
    network = capture(module, images(2, 2, 4, 4))
    assert "with other settings" in network.history[0].functional_layers[0].reason
    x = images(3, 2, 4, 4)
    torch.testing.assert_close(network(x), module(x))


def without_bias(m, x):
    return torch.nn.functional.linear(x, m.held.weight)


def without_bias_and_with(m, x):
    return without_bias(m, x) + m.held(x)


@pytest.mark.parametrize("run", [without_bias, without_bias_and_with], ids=lambda run: run.__name__)
def test_a_layer_whose_bias_is_not_read_has_none(run):
    module = Function(run, held=nn.Linear(3, 5))
    network = capture(module, torch.randn(2, 3))
    first = network.layers[0]
    assert (first.path, first.kind, first.bias) == ("held.weight", "linear", None)
    assert "does not read held.bias" in network.history[0].functional_layers[0].reason
    assert set(network.state_dict()) == {"held.weight", "held.bias"}
    x = torch.randn(4, 3)
    torch.testing.assert_close(network(x), module(x), rtol=0, atol=0)


def test_statistics_that_are_parameters_are_captured_and_folded():
    norm = nn.BatchNorm2d(3).eval()
    for name in ("running_mean", "running_var"):
        stored = nn.Parameter(0.5 + torch.rand(3))
        del norm._buffers[name]
        setattr(norm, name, stored)
    module = nn.Sequential(nn.Conv2d(2, 3, 1), norm)
    network, x = capture(module, images(2, 2, 4, 4)), images(3, 2, 4, 4)
    assert {name for name, _ in network.module.named_parameters()} == {name for name, _ in module.named_parameters()}
    with torch.no_grad():  # torch derives no statistics
        torch.testing.assert_close(network(x), module(x), rtol=0, atol=0)
        fold_batch_norms(network)
        torch.testing.assert_close(network(x), module(x))


def write_column(x):
    x[:, 0] = 1
    return x * 2


@pytest.mark.parametrize(
    "module",
    [nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 3)), nn.Sequential(Function(lambda m, x: write_column(x)))],
    ids=["in place", "slice"],
)
def test_a_model_that_writes_into_its_input_becomes_a_network_that_does_not(module):
    x = images(2, 4)
    before = x.clone()
    network = capture(module, x)
    assert torch.equal(network(x), module(before.clone()))
    assert torch.equal(x, before)


def test_a_write_into_a_stored_tensor_that_the_output_shows_is_refused():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("seen", torch.zeros(()))

        def forward(self, x):
            self.seen.add_(1)
            return x * 2 + self.seen

    module = Counting()
    with pytest.raises(CaptureError, match="at a second call"):
        capture(module, images(2, 4))
    assert module.seen == 0
