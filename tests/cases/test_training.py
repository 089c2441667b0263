"""Training that trains nothing is refused, and evaluation changes nothing.

After questions that people ask of quantization-aware training: a network that is frozen cannot learn, and a module that
is scored in training mode scores wrongly, and is another one after.
"""

import pytest
import torch
from torch import nn

from tests.cases.interface import Refusal, bayesian_prune, capture, evaluate, gptq, metric, naive, train, unfreeze

torch.manual_seed(0)
X = torch.randn(64, 4, 8, 8)
Y = (X.mean((1, 2, 3)) > 0).long()


def module():
    torch.manual_seed(1)
    layers = [nn.Conv2d(4, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)]
    return nn.Sequential(*layers).eval()


def released():
    network = naive(capture(module(), X), X)
    unfreeze(network)
    return network


def fixed():
    return capture(module().requires_grad_(False), X)


def without_parameters():
    return capture(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval(), X)


NETWORKS = {
    "frozen": lambda: naive(capture(module(), X), X),
    "rounded by GPTQ": lambda: gptq(capture(module(), X), X),
    "released": released,
    "fixed": fixed,
    "without parameters": without_parameters,
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_network_that_cannot_learn_is_refused_and_stays(name, optimizer):
    network = NETWORKS[name]()
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    with pytest.raises(Refusal):
        train(network, (X, Y), epochs=3, learning_rate=0.1, optimizer=optimizer)
    assert all(torch.equal(network.state_dict()[key], tensor) for key, tensor in before.items())


def test_pruning_that_is_learned_is_refused_for_a_frozen_network():
    network = NETWORKS["frozen"]()
    with pytest.raises(Refusal):
        bayesian_prune(network, (X, Y), epochs=1)


def test_pruning_says_before_it_learns_what_it_cannot_reach():
    network = capture(module(), X)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    with pytest.raises(Refusal, match="times fewer parameters"):
        bayesian_prune(network, (X, Y), epochs=1, compression=1000)
    assert all(torch.equal(network.state_dict()[key], tensor) for key, tensor in before.items())


@pytest.mark.parametrize("parts", [(), (1,), (1, 4), (0, 1, 2, 3, 4, 5)], ids=str)
def test_a_module_in_training_is_scored_in_evaluation_and_stays(parts):
    torch.manual_seed(0)
    layers = [nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(288, 2)]
    made = nn.Sequential(*layers).train()
    made(X)
    made.eval()
    right = evaluate(made, (X, Y), metric("top1")).value
    for part in parts:
        made[part].train()
    before = {key: tensor.clone() for key, tensor in made.state_dict().items()}
    for data in ((X, Y), torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, Y), batch_size=7)):
        assert evaluate(made, data, metric("top1")).value == right
    assert [part.training for part in made] == [at in parts for at in range(6)]
    assert all(torch.equal(made.state_dict()[key], tensor) for key, tensor in before.items())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_refused(bad):
    with pytest.raises(Refusal, match="loss is"):
        train(capture(module(), X), (X, Y), epochs=1, learning_rate=0.1, loss=lambda outputs, _: outputs.mean() * bad)
