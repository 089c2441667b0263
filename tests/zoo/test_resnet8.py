"""ResNet-8 has the size that its benchmark states."""

import torch

from microjoule.zoo.resnet8 import ResNet8


def test_the_number_of_parameters_is_that_of_the_benchmark() -> None:
    tensors = [*ResNet8().parameters(), *(b for b in ResNet8().buffers() if b.dim())]
    assert sum(t.numel() for t in tensors) == 78_666


def test_it_scores_ten_classes() -> None:
    assert ResNet8().eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
