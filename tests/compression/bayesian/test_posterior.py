"""Gates and noise beside a network: where they are, that they go without a trace, which unit an input belongs to."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from microjoule.capture.export import capture
from microjoule.compression.bayesian.information_bottleneck import BottleneckGate
from microjoule.compression.bayesian.normal_jeffreys import NormalJeffreysGate
from microjoule.compression.bayesian.posterior import Posterior, spread, unit_of
from microjoule.errors import GraphError
from tests.compression.bayesian.networks import X, lenet


def test_where_gates_and_noise_are():
    posterior = Posterior(lenet(), NormalJeffreysGate, noisy=True)
    assert {name: len(gate.mean) for name, gate in posterior.units.items()} == {"first": 4, "second": 6, "hidden": 12}
    assert {path: len(gate.mean) for path, gate in posterior.inputs.items()} == {"hidden": 24}
    assert list(posterior.noise) == ["first", "second", "hidden", "last"]
    hidden = posterior.layers["hidden"]
    assert unit_of(posterior.groups["second"], hidden).tolist() == [unit for unit in range(6) for _ in range(4)]


def test_a_network_with_fixed_gates_computes_with_scaled_inputs():
    network = lenet()
    plain = network.copy()
    posterior = Posterior(network, BottleneckGate, noisy=False)
    torch.manual_seed(0)
    with torch.no_grad():
        for gate in posterior.gates.values():
            gate.mean.uniform_(0, 2)
    module = plain.module
    z = {name: gate.mean.detach() for name, gate in posterior.gates.items()}
    with torch.no_grad():
        x = F.max_pool2d(F.relu(module.first(X)), 2) * z["first"][:, None, None]
        x = F.max_pool2d(F.relu(module.second(x)), 2).flatten(1)
        x = F.relu(module.hidden(x * z["second"].repeat_interleave(4) * z["hidden inputs"]))
        assert_close(network(X), module.last(x * z["hidden"]))


def test_detaching_leaves_no_trace():
    network = lenet()
    before, keys = network(X), list(network.state_dict())
    posterior = Posterior(network, NormalJeffreysGate, noisy=True)
    network.train()
    assert not torch.equal(network(X), network(X))
    assert len(network.state_dict()) > len(keys)
    posterior.detach()
    assert torch.equal(network(X), before)
    assert list(network.state_dict()) == keys


def test_the_divergence_is_the_sum_of_all():
    network = lenet()
    posterior = Posterior(network, BottleneckGate, noisy=False)
    each = {name: gate.divergence().sum() for name, gate in posterior.gates.items()}
    assert_close(posterior.divergence(), sum(each.values()))
    sizes = {name: float(number) for number, name in enumerate(each)}
    assert_close(posterior.divergence(sizes), sum(sizes[name] * each[name] for name in each))
    noisy = Posterior(network.copy(), NormalJeffreysGate, noisy=True)
    weights = sum(n.divergence(noisy.layers[path].stored_weight) for path, n in noisy.noise.items())
    gates = sum(gate.divergence().sum() for gate in noisy.gates.values())
    assert_close(noisy.divergence(), weights + gates)


def test_inputs_of_no_unit_are_left_alone():
    units = torch.tensor([0, 2, 1, 2])
    assert spread(torch.tensor([[5.0, 7.0]]), units).tolist() == [[5.0, 1.0, 7.0, 1.0]]


def test_a_network_without_channels_to_remove_is_refused():
    with pytest.raises(GraphError, match="has no channels that can be removed"):
        Posterior(capture(nn.Sequential(nn.Linear(4, 2)), torch.zeros(2, 4)), BottleneckGate, noisy=False)
