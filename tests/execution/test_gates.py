import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from microjoule.capture.export import capture
from microjoule.errors import DataError, SettingError
from microjoule.execution.gates import gate_gradients, own_loss
from tests.capture.models import Function
from tests.graph.channel_networks import NETWORKS

X = torch.randn(7, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def residual():
    torch.manual_seed(0)
    return capture(NETWORKS["residual"][0]().eval().double(), X[:2]).to(torch.float64)


def by_differences(network, path, channel):
    """The change of each sample's loss as a channel that a layer reads grows, from two runs."""
    step, target, found = 1e-5, network(X).argmax(1), []
    for gate in (1 + step, 1 - step):

        def scaled(layer, args, gate=gate):
            x = args[0].clone()
            x[(slice(None), channel) if isinstance(layer, nn.Conv2d) else (..., channel)] *= gate
            return x

        hook = network.module.get_submodule(path).register_forward_pre_hook(scaled)
        found.append(cross_entropy(network(X), target, reduction="none").detach())
        hook.remove()
    return (found[0] - found[1]) / (2 * step)


@pytest.mark.parametrize("path", ["stem", "b", "project", "head"])
def test_gradients_are_the_change_of_each_samples_loss(path):
    network = residual()
    found = gate_gradients(network, [X], network.layers)
    assert list(found) == [layer.path for layer in network.layers]
    for channel in range(network.layer(path).in_channels):
        assert_close(found[path][:, channel], by_differences(network, path, channel), rtol=1e-5, atol=1e-8)


def test_one_layer_by_hand():
    # scores (a, 2 b) with cross-entropy towards the larger: p = softmax; dL/dz_a = (p_0 - t_0) a and so on
    network = capture(Function(lambda m, x: m.head(x), head=nn.Linear(2, 2, bias=False)).eval(), torch.randn(2, 2))
    with torch.no_grad():
        network.layer("head").stored_weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
    x = torch.tensor([[3.0, 1.0], [0.5, -1.0]])
    scores = torch.tensor([[3.0, 2.0], [0.5, -2.0]])
    expected = (scores.softmax(1) - torch.tensor([[1.0, 0.0], [1.0, 0.0]])) * scores
    assert_close(gate_gradients(network, x, network.layers)["head"], expected)


def test_batches_and_their_sizes_make_no_difference_and_samples_are_the_first():
    network = residual()
    whole = gate_gradients(network, [X], network.layers)
    parts = gate_gradients(network, [X[:3], X[3:]], network.layers)
    few = gate_gradients(network, [X], network.layers[:1], samples=4)
    for path, gradients in whole.items():
        assert_close(parts[path], gradients)
    assert_close(few, {"stem": whole["stem"][:4]})


def test_the_network_stays_as_it_is():
    network = residual()
    network.layer("b").stored_weight.requires_grad_(requires_grad=False)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    wanted = {name: parameter.requires_grad for name, parameter in network.module.named_parameters()}
    graph, outputs = str(network.graph), network(X).detach()
    with torch.no_grad():
        gate_gradients(network, [X], network.layers)
    assert str(network.graph) == graph
    assert torch.equal(network(X).detach(), outputs)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert {name: parameter.requires_grad for name, parameter in network.module.named_parameters()} == wanted
    assert [parameter.grad for parameter in network.module.parameters() if parameter.grad is not None] == []


def test_two_calls_share_a_gate():
    torch.manual_seed(0)
    module = Function(lambda m, x: m.twice(m.twice(x).tanh()), twice=nn.Linear(3, 3)).eval().double()
    x = torch.randn(5, 3, dtype=torch.float64)
    network = capture(module, x[:2]).to(torch.float64)
    found = gate_gradients(network, [x], network.layers)["twice"]
    gate = torch.ones(5, 3, dtype=torch.float64, requires_grad=True)
    scores = module.twice(module.twice(x * gate).tanh() * gate)
    cross_entropy(scores, scores.argmax(1), reduction="sum").backward()
    assert_close(found, gate.grad)


def test_tokens_and_windows_are_summed_over_a_sample():
    def run(m, x):
        n, tokens, width = x.shape
        windows = m.inside(x.reshape(n * 2, tokens // 2, width)).relu()
        return m.head(windows.reshape(n, tokens, width).mean(1))

    torch.manual_seed(0)
    network = capture(Function(run, inside=nn.Linear(3, 3), head=nn.Linear(3, 2)).eval(), torch.randn(2, 4, 3))
    x = torch.randn(5, 4, 3)
    found = gate_gradients(network, x, network.layers)["inside"]
    gate = torch.ones(5, 1, 3, requires_grad=True)
    scores = network(x * gate)
    cross_entropy(scores, scores.argmax(1), reduction="sum").backward()
    assert_close(found, gate.grad[:, 0])


def test_a_layer_that_does_not_lead_to_the_scores_has_gradients_of_0():
    run = Function(lambda m, x: m.head(x) + (m.aside(x) > 0).float(), head=nn.Linear(3, 2), aside=nn.Linear(3, 2))
    network = capture(run.eval(), torch.randn(2, 3))
    found = gate_gradients(network, torch.randn(4, 3), network.layers)
    assert torch.equal(found["aside"], torch.zeros(4, 3))
    assert bool(found["head"].any())


@pytest.mark.parametrize(
    "outputs",
    [torch.zeros(3, 1), torch.zeros(3, 2, 4, 4), torch.zeros(3), (torch.zeros(3, 2), torch.zeros(3, 2)), 1],
    ids=["one class", "maps", "values", "two", "no tensor"],
)
def test_what_is_no_score_of_classes_is_refused(outputs):
    with pytest.raises(SettingError, match=r"criterion: needs scores of classes(.|\n)*elimination"):
        own_loss(outputs)


def test_the_loss_by_hand():
    scores = torch.tensor([[0.0, 0.0], [0.0, torch.log(torch.tensor(3.0))]])
    assert_close(own_loss({"scores": scores}), torch.tensor(2 * 4 / 3, dtype=torch.float64).log())


@pytest.mark.parametrize("tokens", [5, 8], ids=["no multiple of the samples", "twice the samples"])
def test_samples_that_are_not_along_the_first_axis_are_refused(tokens):
    run = Function(
        lambda m, x: m.head(m.inside(x.transpose(0, 1)).mean(0)), inside=nn.Linear(3, 3), head=nn.Linear(3, 2)
    )
    network = capture(run.eval(), torch.randn(2, tokens, 3))
    with pytest.raises(SettingError, match="criterion: needs samples along the first axis of what inside reads"):
        gate_gradients(network, torch.randn(4, tokens, 3), network.layers)


def test_data_that_does_not_fit_is_refused():
    network = residual()
    with pytest.raises(DataError, match="and the network was captured for"):
        gate_gradients(network, [X[:, :2]], network.layers)
