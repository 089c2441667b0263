"""Whether predicted classes are those of the labels: a network at chance level, or one that numbers classes otherwise.

Labels that are numbered in another order than the network's outputs give a score near 0 and no error. A one-to-one map
from predicted classes to labels is found on one half of the samples and scored on the other, so that it cannot fit by
chance.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from microjoule.graph.notice import CLASSES
from microjoule.records.noticed import Noticed

SAMPLES = 100
"""So many at least: a share of fewer says too little."""

LARGEST = 2000
"""Classes up to which any order of them is tried, in a second; of more, shifts and sorted numbers alone."""

SIGMAS = 3.0
"""By how many standard deviations of a share another order has to be better."""

REMEDY = "number the classes as the network's outputs are: --classes FILE, or targets in that order"


class ClassOrder:
    """What a network predicts, against the labels.

    Args:
        name: of the data, for messages.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._predicted: list[np.ndarray[Any, Any]] = []
        self._labels: list[np.ndarray[Any, Any]] = []
        self._classes: int | None = None

    def update(self, outputs: Any, targets: Any) -> None:
        """Take in a batch; what is no scores of classes with a label each is left alone.

        Args:
            outputs: (n, classes), or anything else.
            targets: (n,) of integers, or anything else.
        """
        if not isinstance(outputs, Tensor) or not isinstance(targets, Tensor) or outputs.dim() != 2:
            return
        if targets.shape != outputs.shape[:1] or targets.is_floating_point() or outputs.shape[1] < 2:
            return
        self._classes = outputs.shape[1]
        self._predicted.append(outputs.argmax(1).cpu().numpy())
        self._labels.append(targets.cpu().numpy().astype(np.int64))

    def notices(self, *, trained: bool) -> Iterator[Noticed]:
        """What there is to tell.

        Args:
            trained: whether the network is as it was trained, so that it ought to be better than chance.
        """
        if self._classes is None:
            return
        predicted, labels = np.concatenate(self._predicted), np.concatenate(self._labels)
        if len(labels) < SAMPLES or len(np.unique(labels)) < 2:
            return
        right = float((predicted == labels).mean())
        order = other_order(predicted, labels, self._classes)
        if order is not None:
            words, share = order
            fact = f"{right:.1%} of the labels are predicted, and {share:.1%} {words}"
            yield Noticed(CLASSES, self.name, fact, REMEDY)
            return
        chance = max(1 / self._classes, float(np.unique(labels, return_counts=True)[1].max()) / len(labels))
        if trained and right <= chance + 2 * _deviation(chance, len(labels)):
            fact = f"{right:.1%} of {len(labels)} labels are predicted, no better than chance ({chance:.1%})"
            remedy = (
                "see whether inputs are prepared as in training, the labels are those of the network, and it is trained"
            )
            yield Noticed(CLASSES, self.name, fact, remedy)


def other_order(
    predicted: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], classes: int
) -> tuple[str, float] | None:
    """Another way to number classes that fits far better, in words, and the share of labels that it predicts; or None.

    Args:
        predicted: (n,), the classes that the network says.
        labels: (n,), integers.
        classes: how many the network has.
    """
    now = float((predicted == labels).mean())
    for words, mapping in _known_orders(classes).items():
        share = float((mapping[predicted] == labels).mean())
        if _is_better(share, now, len(labels)):
            return words, share
    largest = int(labels.max()) + 1
    if labels.min() < 0 or max(classes, largest) > LARGEST:
        return None
    first, second = slice(None, None, 2), slice(1, None, 2)
    counts = np.zeros((classes, max(classes, largest)), np.int64)
    np.add.at(counts, (predicted[first], labels[first]), 1)
    rows, columns = linear_sum_assignment(-counts)
    mapping = np.empty(classes, np.int64)
    mapping[rows] = columns
    share, before = (float((one == labels[second]).mean()) for one in (mapping[predicted[second]], predicted[second]))
    return ("if classes are numbered in another order", share) if _is_better(share, before, len(labels) // 2) else None


def _known_orders(classes: int) -> dict[str, np.ndarray[Any, Any]]:
    """Usual mistakes: label of each class."""
    numbers = np.arange(classes)
    by_text = np.array(sorted(range(classes), key=str))
    of_text = np.empty(classes, np.int64)
    of_text[by_text] = numbers
    return {
        "if labels begin at 1": numbers + 1,
        "if the network's first class is a background that the labels lack": numbers - 1,
        "if the labels are numbers sorted as words (0, 1, 10, 11, 2)": of_text,
        "if the network's classes are numbers sorted as words (0, 1, 10, 11, 2)": by_text,
    }


def _is_better(share: float, before: float, samples: int) -> bool:
    """Whether a share is twice another, and more than chance could make it."""
    return share >= 2 * before and share > before + SIGMAS * _deviation(max(share, before), samples)


def _deviation(share: float, samples: int) -> float:
    return math.sqrt(share * (1 - share) / samples)
