"""Average precision of detected boxes at an overlap of one half.

Precision as a function of recall, made monotone from the right and integrated over all points, for each class;
the mean over the classes that occur.

Source: Everingham et al. 2010, The PASCAL Visual Object Classes Challenge, https://doi.org/10.1007/s11263-009-0275-4,
section 4.2, with all points as in the development kit of 2010.
"""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from microjoule.errors import DataError
from microjoule.records.compared import part_edges


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
        self._images: list[_Image] = []

    def update(self, outputs: Sequence[Detections], targets: Sequence[Boxes]) -> None:
        """Take in one batch: the boxes found in each image, and the true ones."""
        if len(outputs) != len(targets):
            raise DataError(
                self.name, f"got {len(outputs)} images found and {len(targets)} true", remedy="give one for each image"
            )
        self._images += [self._image(*pair) for pair in zip(outputs, targets, strict=True)]

    def _image(self, detections: Detections, boxes: Boxes) -> "_Image":
        found = {}
        for class_ in sorted(set(detections.classes.tolist())):
            of_class = detections.classes == class_
            truth = boxes.corners[boxes.classes == class_]
            found[class_] = self._match(detections.corners[of_class], detections.scores[of_class], truth)
        return _Image(found, Counter(boxes.classes.tolist()))

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
        self._images += other._images

    def compute(self) -> float:
        """Percent."""
        precisions = [one.precision() for one in self._by_class(1).values()]
        if not precisions:
            raise DataError(self.name, "has seen no true boxes", remedy="update it with at least one")
        return 100 * sum(precisions) / len(precisions)

    def leave_out(self, parts: int) -> list[float]:
        """The metric without each of some parts of consecutive images, which are of one size, up to one.

        Args:
            parts: how many; as many as there are images leaves out one at a time.
        """
        classes = self._by_class(parts)
        whole = {class_: one.precision() for class_, one in classes.items()}
        found = []
        for part in range(parts):
            changed = {class_: one.precision(part) for class_, one in classes.items() if one.has(part)}
            left = [one for one in (whole | changed).values() if not math.isnan(one)]
            found.append(100 * sum(left) / len(left) if left else math.nan)
        return found

    def _by_class(self, parts: int) -> dict[int, "_OfClass"]:
        """The classes that occur, in the order in which they do; every detection and true box knows its part."""
        edges = part_edges(len(self._images), parts)
        part_of = [part for part, (start, end) in enumerate(pairwise(edges)) for _ in range(start, end)]
        hits: dict[int, list[tuple[int, float, bool]]] = {}
        true: dict[int, Counter[int]] = {}
        for part, image in zip(part_of, self._images, strict=True):
            for class_, count in image.true_boxes.items():
                true.setdefault(class_, Counter())[part] += count
            for class_, found in image.found.items():
                hits.setdefault(class_, []).extend((part, *hit) for hit in found)
        return {class_: _OfClass.of(hits.get(class_, []), boxes) for class_, boxes in true.items()}


class _Image(NamedTuple):
    """By class, the score of each detection and whether it is right, and how many boxes there are to find."""

    found: dict[int, list[tuple[float, bool]]]
    true_boxes: Counter[int]


class _OfClass(NamedTuple):
    """All detections of a class, and how many boxes each part of the images holds."""

    parts: Tensor
    scores: Tensor
    right: Tensor
    true_boxes: Counter[int]

    @classmethod
    def of(cls, hits: Sequence[tuple[int, float, bool]], true_boxes: Counter[int]) -> "_OfClass":
        parts, scores, right = zip(*hits, strict=True) if hits else ((), (), ())
        columns = torch.tensor(parts), torch.tensor(scores, dtype=torch.float64), torch.tensor(right, dtype=torch.bool)
        return cls(*columns, true_boxes)

    def has(self, part: int) -> bool:
        """Whether a part has to do with the class."""
        return part in self.true_boxes or bool((self.parts == part).any())

    def precision(self, without: int = -1) -> float:
        """The average precision, with all parts or without one; NaN if there is then nothing to find."""
        true_boxes = self.true_boxes.total() - self.true_boxes[without]
        left = self.parts != without
        return average_precision(self.right[left], self.scores[left], true_boxes) if true_boxes else math.nan
