"""DS-CNN has the size that its benchmark states."""

import torch

from microjoule.zoo.ds_cnn import DsCnn


def test_the_number_of_parameters_is_that_of_the_benchmark() -> None:
    tensors = [*DsCnn().parameters(), *(b for b in DsCnn().buffers() if b.dim())]
    assert sum(t.numel() for t in tensors) == 24_908


def test_it_scores_twelve_classes() -> None:
    assert DsCnn().eval()(torch.zeros(2, 1, 49, 10)).shape == (2, 12)
