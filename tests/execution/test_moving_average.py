"""A moving average by hand; integers and what is not averaged stay."""

import pytest
import torch
from torch import nn

from microjoule.errors import SettingError
from microjoule.execution.moving_average import MovingAverage


def module(value):
    made = nn.BatchNorm1d(1)
    fill(made, value)
    return made


def fill(made, value):
    with torch.no_grad():
        for tensor in (made.weight, made.bias, made.running_mean, made.running_var):
            tensor.fill_(value)


def test_two_updates_by_hand():
    """d = 1/10, then 2/11: 0.9 * 10 = 9; 9 * 2/11 + 20 * 9/11 = 18."""
    made = module(0.0)
    average = MovingAverage(made, 0.999)
    for value in (10.0, 20.0):
        fill(made, value)
        average.update()
    average.apply()
    for tensor in (made.weight, made.bias, made.running_mean, made.running_var):
        assert tensor.item() == pytest.approx(18.0)


def test_the_decay_is_the_largest():
    made = module(0.0)
    average = MovingAverage(made, 0.05)
    fill(made, 1.0)
    average.update()
    assert average.shadows["weight"].item() == pytest.approx(0.95)


def test_a_context_holds_the_average_and_gives_back():
    made = module(0.0)
    average = MovingAverage(made, 0.5)
    fill(made, 10.0)
    average.update()
    with average.applied():
        assert made.running_var.item() == made.weight.item() == pytest.approx(9.0)
    assert made.running_var.item() == made.weight.item() == 10.0


def test_a_context_gives_back_after_an_error():
    made = module(10.0)
    average = MovingAverage(made, 0.5)
    fill(made, 20.0)
    with pytest.raises(KeyError), average.applied():
        raise KeyError
    assert made.weight.item() == 20.0


def test_integers_are_not_averaged():
    made = module(0.0)
    made.num_batches_tracked.fill_(7)
    average = MovingAverage(made, 0.5)
    made.num_batches_tracked.fill_(9)
    average.update()
    average.apply()
    assert made.num_batches_tracked.item() == 9


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_that_cannot_be_is_refused(decay):
    with pytest.raises(SettingError, match="give a decay"):
        MovingAverage(module(0.0), decay)
