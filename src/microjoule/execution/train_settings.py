"""What a run of training is told, checked before anything is done."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from microjoule.errors import SettingError
from microjoule.execution.augment import Augment
from microjoule.execution.device import beside
from microjoule.execution.distill import Teacher, logits
from microjoule.execution.scoring import Metric
from microjoule.graph.network import Network

Loss = Callable[[Any, Any], Tensor]
"""(outputs, targets) of a batch -> (), the mean over its samples."""

Penalty = Callable[[Network, float], Tensor]
"""(network, share of the steps that are done, from 0 to below 1) -> (), added to the loss."""

AfterStep = Callable[[Network, float], None]
"""(network, share of the steps that are done, from above 0 to 1), after each step of the optimizer."""

AfterEpoch = Callable[[int, float, float | None], None]
"""(number of the epoch from 1 on, its mean loss, the metric after it or None)."""

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of a run; see `train`.

    Raises:
        SettingError: for a number that cannot be.
    """

    epochs: int
    learning_rate: float
    warmup: float
    weight_decay: float
    batch_size: int
    precision: str
    clip: float | None
    seed: int

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise SettingError("epochs", f"is {self.epochs}", remedy="give at least 1")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise SettingError("learning_rate", f"is {self.learning_rate}", remedy="give more than 0")
        if not 0 <= self.warmup <= self.epochs:
            raise SettingError("warmup", f"is {self.warmup} of {self.epochs} epochs", remedy="give 0 to all of them")
        if self.weight_decay < 0:
            raise SettingError("weight_decay", f"is {self.weight_decay}", remedy="give 0 or more")
        if self.precision not in PRECISIONS:
            fact, choice = f"is {self.precision!r}", " or ".join(PRECISIONS)
            raise SettingError("precision", fact, remedy=f"choose {choice}")
        if self.clip is not None and not self.clip > 0:
            raise SettingError("clip", f"is {self.clip}", remedy="give more than 0, or None")


@dataclass(frozen=True, slots=True)
class Functions:
    """The functions that make a step; see `train`."""

    loss: Loss
    augment: Augment | None
    penalty: Penalty | None
    after_step: AfterStep | None


@dataclass(frozen=True, slots=True)
class Watch:
    """Who looks on after each epoch.

    Args:
        valid: labelled data, or None.
        metric: its score, or None.
        after_epoch: what is called.

    Raises:
        SettingError: for data without a metric, or the other way round.
    """

    valid: Any
    metric: Metric | None
    after_epoch: AfterEpoch | None

    def __post_init__(self) -> None:
        if (self.valid is None) != (self.metric is None):
            raise SettingError("valid", "is nothing without a metric, nor is a metric without it", remedy="give both")


def find_loss(loss: str | Loss) -> Loss:
    """The loss of a name; a function stays as it is.

    Raises:
        SettingError: for another name.
    """
    if loss == "cross_entropy":
        return lambda outputs, targets: F.cross_entropy(logits(outputs, "network"), targets)
    if isinstance(loss, str):
        raise SettingError("loss", f"is {loss!r}", remedy='give "cross_entropy", or a function of outputs and targets')
    return loss


def as_teacher(teacher: Network | Teacher, student: Network) -> Teacher:
    """A teacher who teaches as most do, if only the network is given; on the device of the student."""
    found = Teacher(teacher) if isinstance(teacher, Network) else teacher
    network = beside(found.network, student)
    return found if network is found.network else replace(found, network=network)


def name_of(value: Any) -> str:
    """What to call a setting: a function by its name, as its address differs from run to run."""
    return str(getattr(value, "__qualname__", type(value).__qualname__)) if callable(value) else str(value)
