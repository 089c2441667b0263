"""A detector has nested outputs of two resolutions."""

import torch

from microjoule.zoo.ssd import Ssd


def test_outputs_are_nested_and_of_two_resolutions() -> None:
    outputs = Ssd(classes=3, anchors=2).eval()(torch.zeros(2, 3, 64, 64))
    assert [tuple(boxes.shape) for boxes in outputs["boxes"]] == [(2, 8, 8, 8), (2, 8, 4, 4)]
    assert [tuple(scores.shape) for scores in outputs["scores"]] == [(2, 6, 8, 8), (2, 6, 4, 4)]
