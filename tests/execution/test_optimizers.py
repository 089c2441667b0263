"""Which parameter gets which rate and decay, and the learning rate over a run, by hand."""

import pytest
import torch
from torch import nn

from microjoule.errors import SettingError
from microjoule.execution.optimizers import adamw, find_optimizer, parameter_groups, sgd, warm_cosine


def test_the_rate_by_hand():
    rates = [warm_cosine(step, steps=6, warmup=2) for step in range(7)]
    expected = [0.5, 1.0, 1.0, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2, 0.0]
    assert rates == pytest.approx(expected)


def test_without_a_warm_up_the_rate_begins_at_its_peak():
    assert warm_cosine(0, steps=6, warmup=0) == 1
    assert warm_cosine(0, steps=1, warmup=1) == 1


def test_biases_and_norms_do_not_decay_and_the_fixed_are_left_out():
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 2))
    module[2].weight.requires_grad = False
    groups = parameter_groups(module.named_parameters(), learning_rate=0.1, weight_decay=0.01)
    (weights,) = [group for group in groups if group["weight_decay"] == 0.01]
    (others,) = [group for group in groups if group["weight_decay"] == 0]
    assert [id(p) for p in weights["params"]] == [id(module[0].weight)]
    assert {id(p) for p in others["params"]} == {
        id(p) for p in (module[0].bias, module[1].weight, module[1].bias, module[2].bias)
    }
    assert {group["lr"] for group in groups} == {0.1}


def test_a_factor_multiplies_the_rate_of_the_parameters_it_is_for():
    module = nn.Linear(2, 2)
    factor = {"weight": 1.0, "bias": 10.0}.__getitem__
    groups = parameter_groups(module.named_parameters(), learning_rate=0.1, weight_decay=0, factor=factor)
    assert {group["lr"]: len(group["params"]) for group in groups} == {0.1: 1, 1.0: 1}


def test_a_network_without_anything_to_train_is_refused():
    with pytest.raises(SettingError, match="has no parameter to train"):
        parameter_groups(nn.ReLU().named_parameters(), learning_rate=0.1, weight_decay=0)


def test_optimizers_by_name():
    assert (find_optimizer("sgd"), find_optimizer("adamw")) == (sgd, adamw)
    assert find_optimizer(torch.optim.Adam) is torch.optim.Adam
    with pytest.raises(SettingError, match="choose sgd or adamw"):
        find_optimizer("lion")


def test_two_steps_of_nesterov_momentum_by_hand():
    """v = 0.9 v + g, p -= lr (g + 0.9 v): 1.9 then 1 + 0.9 * 1.9 = 2.71 for gradients of 1."""
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = sgd([{"params": [parameter], "lr": 1.0}])
    for expected in (-1.9, -4.61):
        parameter.grad = torch.ones(1)
        optimizer.step()
        assert parameter.item() == pytest.approx(expected)
