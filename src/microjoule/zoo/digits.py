"""The digits that scikit-learn brings along: 1797 images of 8x8 pixels with 17 levels, in a fixed split.

Source: Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits, https://doi.org/10.24432/C50P49.
"""

import torch
from sklearn.datasets import load_digits

from microjoule.zoo.image_sets import LabelledImages
from microjoule.zoo.preprocessing import DIGITS

SPLIT_SEED = 0
TEST_SAMPLES = 540
"""Of 1797, chosen by a fixed shuffle; the other 1257 are for training."""


def digits(part: str, limit: int | None = None) -> LabelledImages:
    """The digits of one part.

    Args:
        part: "train" or "test".
        limit: only the first so many.
    """
    stored = load_digits()
    order = torch.randperm(len(stored.target), generator=torch.Generator().manual_seed(SPLIT_SEED))
    chosen = (order[:TEST_SAMPLES] if part == "test" else order[TEST_SAMPLES:])[:limit]
    images = torch.from_numpy(stored.images).to(torch.uint8)[chosen][:, None]
    labels = torch.from_numpy(stored.target)[chosen].tolist()
    return LabelledImages(f"digits_{part}", images.__getitem__, labels, DIGITS)
