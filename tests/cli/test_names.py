"""The names of the command line."""

import pytest
import torch

from microjoule.cli.names import RULES
from microjoule.numerics.distribution import Distribution
from microjoule.numerics.grid import IntGrid, Scheme


@pytest.mark.parametrize("name", RULES)
def test_every_rule_gives_a_range_within_what_was_seen(name):
    scheme = Scheme(IntGrid(8))
    values = torch.linspace(-3, 5, 4001)
    low, high = RULES[name](Distribution.of(values, scheme), scheme)
    assert -3.001 <= low.item() < -2
    assert 4 < high.item() <= 5.001
