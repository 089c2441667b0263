import warnings

import pytest
import torch
from torch import nn

from microjoule.capture.export import capture
from microjoule.errors import DataWarning, InputRangeWarning, MicrojouleWarning
from microjoule.graph.notice import CLASSES, DATA, RANGE, notice
from microjoule.records.noticed import Noticed


@pytest.fixture
def network():
    return capture(nn.Linear(2, 2), torch.zeros(1, 2))


@pytest.mark.parametrize(
    ("kind", "category"),
    [(RANGE, InputRangeWarning), (DATA, DataWarning), (CLASSES, DataWarning), ("anything", MicrojouleWarning)],
)
def test_a_serious_notice_is_a_warning_of_its_kind_and_in_the_history(network, kind, category):
    noticed = Noticed(kind, "x", "is odd", "look")
    with pytest.warns(category, match="x: is odd\n  look"):
        notice(network, noticed)
    assert network.history[-1] == noticed


def test_a_note_is_in_the_history_alone(network):
    noticed = Noticed("batch", "x", "is odd", "look", serious=False)
    notice(network, noticed)
    assert network.history[-1] == noticed


def test_a_notice_is_given_once(network):
    noticed = Noticed("data", "x", "is odd", "look")
    with pytest.warns(DataWarning):
        notice(network, noticed)
    before = list(network.history)
    notice(network, noticed)
    assert network.history == before


def test_the_warning_names_the_line_that_called_us(network):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        notice(network, Noticed("data", "x", "is odd", "look"))
    assert told[0].filename == __file__
