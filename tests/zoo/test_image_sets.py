"""Labelled images: cropping, and reading each once."""

import numpy as np
import pytest
import torch
from PIL import Image

from microjoule.errors import DataError
from microjoule.zoo.image_sets import LabelledImages, centre, pixels


def test_the_centre_by_hand() -> None:
    image = Image.fromarray(np.arange(25, dtype=np.uint8).reshape(5, 5))
    assert pixels(centre(image, 3, 1)).tolist() == [[[7], [12], [17]]]


def test_a_small_image_is_enlarged_just_enough() -> None:
    image = Image.fromarray(np.full((2, 4), 9, np.uint8))
    assert pixels(centre(image, 4, 4)).tolist() == [[[9] * 4] * 4]


def test_pixels_of_a_colour_image_have_channels_first() -> None:
    array = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert torch.equal(pixels(Image.fromarray(array)), torch.from_numpy(array).permute(2, 0, 1))


def test_a_sample_is_read_once_and_prepared_each_time() -> None:
    read: list[int] = []

    def stored(index: int) -> torch.Tensor:
        read.append(index)
        return torch.full((1, 1, 1), index)

    images = LabelledImages("some", stored, [5, 6], lambda x: x * 2)
    assert [(int(x), int(label)) for x, label in images] == [(0, 5), (2, 6)]
    assert (int(images[1][0]), read) == (2, [0, 1])


@pytest.mark.parametrize("index", [2, -1])
def test_an_index_outside_is_refused(index: int) -> None:
    with pytest.raises(IndexError):
        LabelledImages("some", torch.tensor, [5, 6], lambda x: x)[index]


def test_no_samples_are_refused() -> None:
    with pytest.raises(DataError, match="some: holds no samples"):
        LabelledImages("some", torch.tensor, [], lambda x: x)
