"""Pairs of a small and a large image."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from microjoule import zoo
from microjoule.errors import DataError
from microjoule.zoo.super_resolution_pairs import luma
from tests.zoo.conftest import encoded, write_zip


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Two pairs; the large image of the second has an odd row more."""
    files = {}
    for name, height, width, extra in (("1", 3, 4, 0), ("2", 5, 4, 1)):
        files[f"Set5/x2/{name}_HR.png"] = encoded(np.zeros((2 * height + extra, 2 * width, 3), np.uint8))
        files[f"Set5/x2/{name}_LR.png"] = encoded(np.full((height, width, 3), 255, np.uint8))
    (tmp_path / "sr").mkdir()
    write_zip(tmp_path / "sr" / "sr_x2.zip", files)
    return tmp_path


def test_luma_of_black_white_and_green_by_hand() -> None:
    image = Image.fromarray(np.array([[[0, 0, 0], [255, 255, 255], [0, 255, 0]]], np.uint8))
    torch.testing.assert_close(luma(image), torch.tensor([[[16.0, 235.0, 144.553]]]) / 255)


def test_the_large_image_is_cut_to_a_multiple_of_the_small_one(pairs: Path) -> None:
    shapes = [(tuple(small.shape), tuple(large.shape)) for small, large in zoo.dataset("sr", data=pairs)]
    assert shapes == [((1, 3, 4), (1, 6, 8)), ((1, 5, 4), (1, 10, 8))]


def test_images_of_two_sizes_make_no_batch(pairs: Path) -> None:
    samples = zoo.dataset("sr/Set5", data=pairs)
    assert samples.collate([samples[0], samples[0]])[0].shape == (2, 1, 3, 4)
    with pytest.raises(DataError, match="use a batch size of 1"):
        samples.collate([samples[0], samples[1]])


def test_an_unknown_part_names_those_there_are(pairs: Path) -> None:
    with pytest.raises(DataError, match=r"holds no pairs\n  choose one of Set5"):
        zoo.dataset("sr/Set9", data=pairs)
