"""The digits are split the same way each time."""

import torch

from microjoule.zoo.digits import digits


def test_the_parts_share_no_sample_and_hold_all() -> None:
    test, train = digits("test"), digits("train")
    assert (len(test), len(train)) == (540, 1257)
    seen = {tuple(image.flatten().tolist()) for image, _ in train}
    assert not any(tuple(image.flatten().tolist()) in seen for image, _ in test)


def test_pixels_are_sixteenths() -> None:
    image, label = digits("test", limit=1)[0]
    assert image.shape == (1, 8, 8)
    assert torch.equal(image * 16, (image * 16).round())
    assert 0 <= int(label) <= 9
