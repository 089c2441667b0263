"""How good a network is, as one number with a unit; partial results are merged by adding."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from microjoule.errors import DataError, SettingError
from microjoule.zoo.average_precision import AveragePrecision


class Top1:
    """The share of samples whose largest score is that of the right class."""

    name = "top1"
    unit = "%"

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.right = 0
        self.samples = 0

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Take in one batch.

        Args:
            outputs: (n, classes), any scores.
            targets: (n,), the right classes.
        """
        if outputs.dim() != 2 or targets.shape != outputs.shape[:1]:
            raise _misfit(self.name, outputs, targets, "(n, classes) and (n,)")
        if targets.numel() and not 0 <= int(targets.min()) <= int(targets.max()) < outputs.shape[1]:
            fact = f"has labels {int(targets.min())} to {int(targets.max())}, the network {outputs.shape[1]} classes"
            raise DataError(self.name, fact, remedy="number the classes from 0, as the network does")
        self.right += int((outputs.argmax(1) == targets).sum())
        self.samples += len(targets)

    def merge(self, other: "Top1") -> None:
        """Take in what another one has seen."""
        self.right += other.right
        self.samples += other.samples

    def compute(self) -> float:
        """Percent."""
        return 100 * self.right / _some(self.name, self.samples)


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
        self.confusion = torch.zeros(0, 0, dtype=torch.int64)

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Take in one batch; scores of a coarser grid are interpolated to the targets' size.

        Args:
            outputs: (n, classes, h, w), any scores.
            targets: (n, height, width), the right classes.
        """
        if outputs.dim() != 4 or targets.dim() != 3 or len(outputs) != len(targets):
            raise _misfit(self.name, outputs, targets, "(n, classes, h, w) and (n, height, width)")
        for scores, truth in zip(outputs, targets, strict=True):
            self._update_one(scores, truth)

    def _update_one(self, scores: Tensor, truth: Tensor) -> None:
        classes = len(scores)
        if scores.shape[1:] != truth.shape:
            size = (truth.shape[0], truth.shape[1])
            scores = F.interpolate(scores[None], size, mode="bilinear", align_corners=True)[0]
        counts = truth != self.ignore
        pairs = truth[counts].long() * classes + scores.argmax(0)[counts]
        if pairs.numel() and int(pairs.max()) >= classes * classes:
            raise DataError(self.name, f"a target is not one of the {classes} classes", remedy="map the masks' classes")
        counted = torch.bincount(pairs, minlength=classes * classes).reshape(classes, classes).cpu()
        self.confusion = counted if self.confusion.numel() == 0 else self.confusion + counted

    def merge(self, other: "MeanIou") -> None:
        """Take in what another one has seen."""
        if self.confusion.numel() == 0:
            self.confusion = other.confusion.clone()
        elif other.confusion.numel():
            self.confusion = self.confusion + other.confusion

    def compute(self) -> float:
        """Percent."""
        _some(self.name, int(self.confusion.sum()))
        both = self.confusion.diagonal()
        union = self.confusion.sum(0) + self.confusion.sum(1) - both
        return 100 * float((both[union > 0] / union[union > 0]).mean())

    def pixel_accuracy(self) -> float:
        """The share of pixels that are right, in percent."""
        return 100 * int(self.confusion.diagonal().sum()) / _some(self.name, int(self.confusion.sum()))


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
        self.sum_db = 0.0
        self.samples = 0

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Take in one batch; outputs are clipped to 0 ... 1 as an image file would.

        Args:
            outputs: (n, 1, height, width), luma of 0 ... 1.
            targets: the same shape.
        """
        if outputs.dim() != 4 or outputs.shape != targets.shape:
            raise _misfit(self.name, outputs, targets, "two of (n, 1, height, width)")
        inner = slice(self.border, -self.border or None)
        error = (outputs.clamp(0, 1) - targets)[:, :, inner, inner].double()
        power = error.square().mean((1, 2, 3))
        self.sum_db += sum(-10 * math.log10(p) if p > 0 else math.inf for p in power.tolist())
        self.samples += len(power)

    def merge(self, other: "Psnr") -> None:
        """Take in what another one has seen."""
        self.sum_db += other.sum_db
        self.samples += other.samples

    def compute(self) -> float:
        """Decibel; infinite if an image is reproduced exactly."""
        return self.sum_db / _some(self.name, self.samples)


METRICS = {kind.name: kind for kind in (Top1, MeanIou, Psnr, AveragePrecision)}


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


def _misfit(name: str, outputs: Tensor, targets: Tensor, expected: str) -> DataError:
    got = f"outputs of shape {tuple(outputs.shape)} and targets of shape {tuple(targets.shape)}"
    return DataError(name, f"got {got}, expected {expected}", remedy="choose the metric that fits the network and data")


def _some(name: str, samples: int) -> int:
    if samples == 0:
        raise DataError(name, "has seen no samples", remedy="update it with at least one batch")
    return samples
