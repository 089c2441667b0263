"""Average precision of detected boxes at an overlap of one half.

Precision as a function of recall, made monotone from the right and integrated over all points, for each class;
the mean over the classes that occur.

Source: Everingham et al. 2010, The PASCAL Visual Object Classes Challenge, https://doi.org/10.1007/s11263-009-0275-4,
section 4.2, with all points as in the development kit of 2010.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from microjoule.errors import DataError


class Boxes(NamedTuple):
    """The true boxes of one image: corners (n, 4) as left, top, right, bottom, and classes (n,)."""

    corners: Tensor
    classes: Tensor


class Detections(NamedTuple):
    """The boxes found in one image: corners (n, 4), classes (n,), scores (n,)."""

    corners: Tensor
    classes: Tensor
    scores: Tensor


def overlaps(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of every pair of boxes.

    Args:
        first: (a, 4), left, top, right, bottom.
        second: (b, 4).

    Returns:
        (a, b), 0 to 1.
    """
    low = torch.maximum(first[:, None, :2], second[None, :, :2])
    high = torch.minimum(first[:, None, 2:], second[None, :, 2:])
    both = (high - low).clamp(min=0).prod(2)
    union = _area(first)[:, None] + _area(second)[None, :] - both
    return both / union.clamp(min=1e-12)


def _area(corners: Tensor) -> Tensor:
    return (corners[:, 2:] - corners[:, :2]).clamp(min=0).prod(1)


def average_precision(right: Tensor, scores: Tensor, true_boxes: int) -> float:
    """The area under precision over recall.

    Args:
        right: (n,), whether each detection is right.
        scores: (n,).
        true_boxes: how many there are to find.
    """
    order = torch.argsort(scores, descending=True, stable=True)
    hits = right[order].double().cumsum(0)
    precision = hits / torch.arange(1, len(order) + 1, dtype=torch.float64)
    monotone = precision.flip(0).cummax(0).values.flip(0) if len(order) else precision
    recall = torch.cat([hits.new_zeros(1), hits / true_boxes])
    return float((recall.diff() * monotone).sum())


class AveragePrecision:
    """AP50: mean over classes of the average precision at an overlap of at least one half."""

    name = "ap50"
    unit = "%"
    overlap = 0.5

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.found: dict[int, list[tuple[float, bool]]] = {}
        self.true_boxes: dict[int, int] = {}

    def update(self, outputs: Sequence[Detections], targets: Sequence[Boxes]) -> None:
        """Take in one batch: the boxes found in each image, and the true ones."""
        if len(outputs) != len(targets):
            raise DataError(
                self.name, f"got {len(outputs)} images found and {len(targets)} true", remedy="give one for each image"
            )
        for detections, boxes in zip(outputs, targets, strict=True):
            for class_ in boxes.classes.tolist():
                self.true_boxes[class_] = self.true_boxes.get(class_, 0) + 1
            for class_ in sorted(set(detections.classes.tolist())):
                of_class = detections.classes == class_
                truth = boxes.corners[boxes.classes == class_]
                hits = self._match(detections.corners[of_class], detections.scores[of_class], truth)
                self.found.setdefault(class_, []).extend(hits)

    def _match(self, corners: Tensor, scores: Tensor, truth: Tensor) -> list[tuple[float, bool]]:
        """Best score first, each detection takes the true box it covers most, unless that is taken."""
        taken: set[int] = set()
        hits = []
        cover = overlaps(corners, truth)
        for i in torch.argsort(scores, descending=True, stable=True).tolist():
            best = int(cover[i].argmax()) if len(truth) else -1
            right = best >= 0 and float(cover[i, best]) >= self.overlap and best not in taken
            if right:
                taken.add(best)
            hits.append((float(scores[i]), right))
        return hits

    def merge(self, other: "AveragePrecision") -> None:
        """Take in what another one has seen."""
        for class_, hits in other.found.items():
            self.found.setdefault(class_, []).extend(hits)
        for class_, count in other.true_boxes.items():
            self.true_boxes[class_] = self.true_boxes.get(class_, 0) + count

    def compute(self) -> float:
        """Percent."""
        if not self.true_boxes:
            raise DataError(self.name, "has seen no true boxes", remedy="update it with at least one")
        return 100 * sum(self._of_class(class_) for class_ in self.true_boxes) / len(self.true_boxes)

    def _of_class(self, class_: int) -> float:
        hits = self.found.get(class_, [])
        right = torch.tensor([hit for _, hit in hits], dtype=torch.bool)
        scores = torch.tensor([score for score, _ in hits], dtype=torch.float64)
        return average_precision(right, scores, self.true_boxes[class_])
