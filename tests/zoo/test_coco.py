"""Masks, boxes and persons of the COCO layout."""

from pathlib import Path

import pytest
import torch

from microjoule import zoo
from microjoule.errors import DataError, SettingError
from microjoule.zoo.coco import boxes_of, voc_classes


def test_categories_become_classes_by_hand() -> None:
    stored = torch.tensor([[0, 1, 17, 72, 200, 255]], dtype=torch.uint8)
    assert voc_classes(stored).tolist() == [[0, 15, 8, 20, 0, 255]]


def test_a_mask_lies_over_its_picture_and_ignores_the_frame(root: Path) -> None:
    masks = zoo.dataset("coco", "deeplabv3_mnv2_pascal_tf", data=root)
    assert len(masks) == 1  # the other picture has no mask
    image, mask = masks[0]
    assert (image.shape, mask.shape) == ((3, 513, 513), (513, 513))
    assert mask[0, 0] == 15
    assert mask[0, 300] == 8
    assert mask[0, 512] == 255
    assert (mask[300:] == 255).all()
    assert (image[:, 0, 0] == -1).all()
    assert image[:, 400:].abs().max() < 0.01


def test_boxes_are_corners_in_pixels_of_the_input(root: Path) -> None:
    boxes = zoo.dataset("coco/boxes", "ssd_small", data=root)
    inputs, (first, second) = boxes.collate([boxes[0], boxes[1]])
    assert inputs.shape == (2, 3, 128, 128)
    assert first.classes.tolist() == [0, 16]
    torch.testing.assert_close(first.corners[0], torch.tensor([32.0, 0.0, 96.0, 128.0]))
    assert second.corners.shape == (1, 4)


def test_a_person_counts_only_if_large_enough(root: Path) -> None:
    persons = zoo.dataset("coco/person", "vww_mobilenetv1_0.25_96", data=root)
    assert [int(label) for _, label in persons] == [1, 0]


def test_a_picture_may_hold_no_boxes() -> None:
    assert boxes_of("", "1.txt", height=4, width=4).corners.shape == (0, 4)


@pytest.mark.parametrize("text", ["0 0.5 0.5 0.5", "0 a b c d", "0 1 1 1 1\n0 1"])
def test_a_damaged_line_is_refused(text: str) -> None:
    with pytest.raises(DataError, match=r"1\.txt: needs five numbers a line"):
        boxes_of(text, "1.txt", height=4, width=4)


def test_an_unknown_part_is_refused(root: Path) -> None:
    with pytest.raises(SettingError, match="choose masks, boxes or person"):
        zoo.dataset("coco/captions", "ssd_small", data=root)
