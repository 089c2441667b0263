"""MobileNetV1 has the size that its makers state."""

import pytest
import torch

from microjoule.zoo.mobilenet_v1 import MobileNetV1, PersonMobileNetV1, layers


@pytest.mark.parametrize(("width", "parameters"), [(0.25, 470_072), (1.0, 4_231_976)])
def test_the_number_of_parameters_is_that_of_keras(width: float, parameters: int) -> None:
    assert sum(p.numel() for p in MobileNetV1(width).parameters()) == parameters


def test_layers_alternate_between_depthwise_and_pointwise() -> None:
    first, *rest = layers(1.0)
    assert first == (3, 32, 3, 2, 1)
    assert all(ins == outs == groups for ins, outs, _, _, groups in rest[::2])
    assert all((kernel, stride, groups) == (1, 1, 1) for _, _, kernel, stride, groups in rest[1::2])


def test_the_person_detector_scores_two_classes() -> None:
    assert PersonMobileNetV1().eval()(torch.zeros(2, 3, 96, 96)).shape == (2, 2)
