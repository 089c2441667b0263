"""How good a network is, as one number with a unit; partial results are merged by adding.

Each keeps what every sample adds, so that two networks can be compared sample by sample: `sample_scores` where the
metric is their mean, else `leave_out`, the metric without each part of the samples.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from microjoule.errors import DataError, SettingError
from microjoule.execution.average_precision import AveragePrecision
from microjoule.records.compared import part_edges


class Top1:
    """The share of samples whose largest score is that of the right class."""

    name = "top1"
    unit = "%"

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._right: list[Tensor] = []

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Take in one batch.

        Args:
            outputs: (n, classes), any scores.
            targets: (n,), the right classes.
        """
        if outputs.dim() != 2 or targets.shape != outputs.shape[:1]:
            raise _misfit(self.name, outputs, targets, "(n, classes) and (n,)")
        _check_numbers(self.name, outputs, targets)
        if targets.numel() and not 0 <= int(targets.min()) <= int(targets.max()) < outputs.shape[1]:
            fact = f"has labels {int(targets.min())} to {int(targets.max())}, the network {outputs.shape[1]} classes"
            raise DataError(self.name, fact, remedy="number the classes from 0, as the network does")
        self._right.append((outputs.argmax(1) == targets.to(outputs.device)).cpu())

    def merge(self, other: "Top1") -> None:
        """Take in what another one has seen."""
        self._right += other._right

    def compute(self) -> float:
        """Percent."""
        samples = _some(self.name, sum(map(len, self._right)))
        return 100 * sum(int(right.sum()) for right in self._right) / samples

    def sample_scores(self) -> list[float]:
        """100 for each sample that is right, 0 for each other, in order."""
        return [100.0 * one for right in self._right for one in right.tolist()]


class MeanIou:
    """Intersection over union of each class, averaged over the classes that occur in targets or outputs.

    Args:
        ignore: the target of pixels that do not count.
    """

    name = "miou"
    unit = "%"

    def __init__(self, ignore: int = 255) -> None:
        self.ignore = ignore
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._classes = 0
        self._counted: list[tuple[Tensor, Tensor]] = []

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Take in one batch; scores of a coarser grid are interpolated to the targets' size.

        Args:
            outputs: (n, classes, h, w), any scores.
            targets: (n, height, width), the right classes.
        """
        if outputs.dim() != 4 or targets.dim() != 3 or len(outputs) != len(targets):
            raise _misfit(self.name, outputs, targets, "(n, classes, h, w) and (n, height, width)")
        _check_numbers(self.name, outputs, targets)
        for scores, truth in zip(outputs, targets, strict=True):
            self._update_one(scores, truth)

    def _update_one(self, scores: Tensor, truth: Tensor) -> None:
        classes = len(scores)
        if scores.shape[1:] != truth.shape:
            size = (truth.shape[0], truth.shape[1])
            scores = F.interpolate(scores[None], size, mode="bilinear", align_corners=True)[0]
        counts = truth != self.ignore
        right = truth[counts].long()
        if right.numel() and not 0 <= int(right.min()) <= int(right.max()) < classes:
            fact = f"has targets {int(right.min())} to {int(right.max())}, the network {classes} classes"
            raise DataError(self.name, fact, remedy=f"map the masks' classes; pixels of {self.ignore} do not count")
        pairs = right * classes + scores.argmax(0)[counts]
        if self._counted and classes != self._classes:
            fact = f"got {classes} classes after {self._classes}"
            raise DataError(self.name, fact, remedy="reset it for another network")
        self._classes = classes
        found, counts = pairs.cpu().unique(return_counts=True)
        self._counted.append((found, counts))

    def merge(self, other: "MeanIou") -> None:
        """Take in what another one has seen."""
        self._classes = self._classes or other._classes
        self._counted += other._counted

    def compute(self) -> float:
        """Percent."""
        confusion = self._confusion(self._counted)
        _some(self.name, int(confusion.sum()))
        return _mean_iou(confusion)

    def pixel_accuracy(self) -> float:
        """The share of pixels that are right, in percent."""
        confusion = self._confusion(self._counted)
        return 100 * int(confusion.diagonal().sum()) / _some(self.name, int(confusion.sum()))

    def leave_out(self, parts: int) -> list[float]:
        """The metric without each of some parts of consecutive samples, which are of one size, up to one.

        Args:
            parts: how many; as many as there are samples leaves out one at a time.
        """
        whole, edges = self._confusion(self._counted), part_edges(len(self._counted), parts)
        return [_mean_iou(whole - self._confusion(self._counted[start:end])) for start, end in pairwise(edges)]

    def _confusion(self, counted: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """How many pixels of each class were taken for each class, (classes, classes)."""
        total = torch.zeros(self._classes**2, dtype=torch.int64)
        for found, counts in counted:
            total[found] += counts
        return total.reshape(self._classes, self._classes)


class Psnr:
    """The peak signal to noise ratio of each image, averaged over images.

    Args:
        border: pixels at each edge that do not count.
    """

    name = "psnr"
    unit = "dB"

    def __init__(self, border: int = 2) -> None:
        self.border = border
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._decibels: list[float] = []

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Take in one batch; outputs are clipped to 0 ... 1 as an image file would.

        Args:
            outputs: (n, 1, height, width), luma of 0 ... 1.
            targets: the same shape.
        """
        if outputs.dim() != 4 or outputs.shape != targets.shape:
            raise _misfit(self.name, outputs, targets, "two of (n, 1, height, width)")
        _check_no_nan(self.name, outputs)
        if targets.numel() and not bool(((targets >= 0) & (targets <= 1)).all()):
            fact = f"has targets from {float(targets.min()):g} to {float(targets.max()):g}, expected 0 to 1"
            raise DataError(self.name, fact, remedy="divide pixels by 255")
        inner = slice(self.border, -self.border or None)
        error = (outputs.clamp(0, 1) - targets)[:, :, inner, inner].double()
        power = error.square().mean((1, 2, 3))
        self._decibels += [-10 * math.log10(p) if p > 0 else math.inf for p in power.tolist()]

    def merge(self, other: "Psnr") -> None:
        """Take in what another one has seen."""
        self._decibels += other._decibels

    def compute(self) -> float:
        """Decibel; infinite if an image is reproduced exactly."""
        return sum(self._decibels) / _some(self.name, len(self._decibels))

    def sample_scores(self) -> list[float]:
        """The decibels of each image, in order."""
        return list(self._decibels)


def _mean_iou(confusion: Tensor) -> float:
    """Percent; NaN where there is no pixel."""
    both = confusion.diagonal()
    union = confusion.sum(0) + confusion.sum(1) - both
    return 100 * float((both[union > 0] / union[union > 0]).mean())


METRICS = {kind.name: kind for kind in (Top1, MeanIou, Psnr, AveragePrecision)}
"""By the names that the command line and `mj.evaluate` know them by."""


def metric(name: str) -> Top1 | MeanIou | Psnr | AveragePrecision:
    """A fresh metric.

    Args:
        name: "top1", "miou", "psnr" or "ap50".

    Raises:
        SettingError: there is no such metric.
    """
    if name not in METRICS:
        raise SettingError("metric", f"there is no {name!r}", remedy=f"choose one of {', '.join(METRICS)}")
    return METRICS[name]()


def _check_numbers(name: str, outputs: Tensor, targets: Tensor) -> None:
    """See that scores can be compared, and that targets number classes."""
    _check_no_nan(name, outputs)
    if targets.is_floating_point() and not bool((targets == targets.round()).all()):
        fact = "has targets that are no whole numbers, which number no classes"
        raise DataError(name, fact, remedy="give the number of each sample's class, or choose the metric that fits")


def _check_no_nan(name: str, outputs: Tensor) -> None:
    broken = int(outputs.isnan().flatten(1).any(1).sum())
    if broken:
        fact = f"got NaN from the network for {broken:,} of {len(outputs):,} samples"
        raise DataError(name, fact, remedy="look for the first layer that gives NaN, and for inputs out of its range")


def _misfit(name: str, outputs: Tensor, targets: Tensor, expected: str) -> DataError:
    got = f"outputs of shape {tuple(outputs.shape)} and targets of shape {tuple(targets.shape)}"
    return DataError(name, f"got {got}, expected {expected}", remedy="choose the metric that fits the network and data")


def _some(name: str, samples: int) -> int:
    if samples == 0:
        raise DataError(name, "has seen no samples", remedy="update it with at least one batch")
    return samples
