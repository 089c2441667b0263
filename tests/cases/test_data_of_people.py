"""Data as people have it is read as the network takes it, or refused in words; an example input tells no range.

After bug reports of other tools: a loader's dicts given to a network of one tensor, a network of two inputs whose pairs
were taken for (input, target), and a calibration on whatever the example inputs were.
"""

import warnings

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.cases.interface import Function, InputRangeWarning, Refusal, capture, data_free, model_card, naive, sqnr_db

torch.manual_seed(0)
X = torch.randn(8, 4)
A, B = torch.randn(8, 4), torch.randn(8, 6)


def one_input():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 4)).eval()


def two_inputs():
    torch.manual_seed(1)
    return Function(lambda s, u, v: s.l(u) + s.k(v), l=nn.Linear(4, 4), k=nn.Linear(6, 4)).eval()


def test_dicts_without_the_input_of_the_network_are_refused_as_dicts():
    with pytest.raises(Refusal, match="dict"):
        naive(capture(one_input(), X), [{"image": X, "label": torch.zeros(8)}])


def test_dicts_with_the_input_of_the_network_are_taken():
    model = one_input()
    assert sqnr_db(model(X), naive(capture(model, X), [{"input": X, "label": torch.zeros(8)}])(X)) > 30


@pytest.mark.parametrize(
    "data",
    [
        [(A, B)],
        [((A, B), torch.zeros(8))],
        [(A, B, torch.zeros(8))],
        (A, B),
        DataLoader(TensorDataset(A, B), 4),
        DataLoader(TensorDataset(A, B, torch.zeros(8)), 4),
        TensorDataset(A, B),
    ],
    ids=["pairs", "pairs and targets", "threes", "arrays", "loader", "loader with targets", "data set"],
)
def test_two_inputs_are_no_input_and_target(data):
    model = two_inputs()
    assert sqnr_db(model(A, B), naive(capture(model, (A, B)), data)(A, B)) > 30


def of_normalized_images():
    torch.manual_seed(1)
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)]
    model, images = nn.Sequential(*layers).train(), torch.randn(256, 3, 12, 12) * 1.2
    for _ in range(50):
        model(images)
    return model.eval(), images


def test_a_range_that_only_example_inputs_tell_is_warned_of_and_recorded():
    model, _ = of_normalized_images()
    with pytest.warns(InputRangeWarning, match="nothing tells its range but the example inputs"):
        network = data_free(capture(model, torch.rand(16, 3, 12, 12)))
    assert any("example inputs" in str(record) for record in network.history)


@pytest.mark.parametrize("told", ["declared", "card", "data"])
def test_a_range_that_is_told_gives_the_right_network_without_a_word(told):
    model, images = of_normalized_images()
    bounds = float(images.min()), float(images.max())
    given = {"declared": {"input_range": bounds}, "data": {"data": images}, "card": {}}[told]
    card = {"card": model_card(input_range=bounds)} if told == "card" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network = data_free(capture(model, torch.rand(16, 3, 12, 12), **card), **given)
    assert sqnr_db(model(images), network(images)) > 25
