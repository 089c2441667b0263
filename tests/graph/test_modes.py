"""Evaluation mode for a while: every part has its own mode again, whatever happens."""

import pytest
from torch import nn

from microjoule.graph.modes import in_evaluation


def test_parts_have_their_own_modes_again():
    module = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2), nn.Sequential(nn.Dropout()))
    module.train()
    module[1].eval()
    with in_evaluation(module):
        assert not any(part.training for part in module.modules())
    assert [part.training for part in module.modules()] == [True, True, False, True, True]
    with pytest.raises(KeyboardInterrupt), in_evaluation(module):
        raise KeyboardInterrupt
    assert module[0].training
    assert not module[1].training


def test_a_class_that_does_more_than_set_a_flag_is_asked():
    asked = []

    class Merging(nn.Linear):
        def train(self, mode=True):
            asked.append(mode)
            return super().train(mode)

    module = Merging(2, 2)
    with in_evaluation(module):
        pass
    assert asked == [False, True]
    module.eval()
    asked.clear()
    with in_evaluation(module):
        pass
    assert asked == []
