"""EfficientNet-Lite0 has the size that its makers state."""

import torch

from microjoule.zoo.efficientnet_lite import EfficientNetLite0


def test_the_number_of_parameters_is_that_of_its_makers() -> None:
    assert sum(p.numel() for p in EfficientNetLite0().parameters()) == 4_652_008


def test_it_scores_each_class() -> None:
    assert EfficientNetLite0(classes=7).eval()(torch.zeros(2, 3, 65, 65)).shape == (2, 7)
