"""Folders of images as batches."""

import pytest
from PIL import Image

from microjoule.cli.image_folder import image_folder
from microjoule.errors import DataError


def prepared(pixels):
    return pixels.float() / 255


def test_subfolders_are_classes_and_images_are_cut_to_size(tmp_path):
    for name, grey in (("cat", 0), ("dog", 255)):
        (tmp_path / name).mkdir()
        Image.new("L", (10, 6), grey).save(tmp_path / name / "one.png")
    ((inputs,), labels), *_ = list(image_folder(tmp_path, 1, (4, 4), prepared, 8))
    assert inputs.shape == (2, 1, 4, 4)
    assert labels.tolist() == [0, 1]
    assert (inputs[0].max(), inputs[1].min()) == (0, 1)


def test_images_without_folders_have_no_labels(tmp_path):
    Image.new("RGB", (5, 5)).save(tmp_path / "one.png")
    found = image_folder(tmp_path, 3, (5, 5), prepared, 8)
    assert not found.labelled
    assert found.samples == 1


def test_a_folder_without_images_and_a_file_that_is_none_are_refused(tmp_path):
    with pytest.raises(DataError, match="holds no image"):
        image_folder(tmp_path, 3, (5, 5), prepared, 8)
    (tmp_path / "one.png").write_bytes(b"text")
    with pytest.raises(DataError, match=r"one\.png"):
        list(image_folder(tmp_path, 3, (5, 5), prepared, 8))
