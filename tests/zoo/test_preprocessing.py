"""From stored values to inputs, by hand."""

import pytest
import torch

from microjoule.graph.preprocessing import Preprocessing
from microjoule.zoo import preprocessing
from microjoule.zoo.preprocessing import keyword_features


def test_tensorflow_maps_bytes_to_one_around_zero() -> None:
    stored = torch.tensor([0, 255], dtype=torch.uint8).reshape(1, 1, 2).expand(3, 1, 2)
    torch.testing.assert_close(preprocessing.TENSORFLOW(stored)[0], torch.tensor([[-1.0, 1.0]]))


def test_raw_values_stay() -> None:
    stored = torch.tensor([0, 7, 255], dtype=torch.uint8).reshape(1, 1, 3).expand(3, 1, 3)
    torch.testing.assert_close(preprocessing.RAW(stored), stored.float())


def test_the_range_is_that_of_the_extreme_channels() -> None:
    preprocessing_of_two = Preprocessing((0.5, 0.0), (0.5, 0.25))
    assert preprocessing_of_two.value_range == (-1, 4)
    extremes = torch.tensor([0, 255], dtype=torch.uint8).reshape(1, 1, 2).expand(2, 1, 2)
    assert (preprocessing_of_two(extremes).min(), preprocessing_of_two(extremes).max()) == (-1, 4)


def test_keyword_features_are_what_their_scale_says() -> None:
    stored = torch.tensor([-128, 83, 127], dtype=torch.int8)
    low, high = preprocessing.KEYWORD_RANGE
    assert keyword_features(stored).tolist() == pytest.approx([low, 0, high], rel=1e-6)
