"""Knowledge distillation: a network learns from what another one gives, and from the values inside it.

The logits of a teacher, softened by a temperature T, tell more than a class: how alike the classes are. What is
minimised is

    T^2 KL( softmax(teacher / T) || softmax(student / T) ),

where T^2 makes the gradients' size independent of T. Values inside the networks are matched by their mean squared
difference over the teacher's variance, so that layers of different scale count the same.

Source: Hinton, Vinyals and Dean 2015, Distilling the Knowledge in a Neural Network,
https://arxiv.org/abs/1503.02531, section 2; values inside: Romero et al. 2015, https://arxiv.org/abs/1412.6550,
section 2.2, without its regressor.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.fx import Node

from microjoule.errors import DataError, GraphError, SettingError
from microjoule.execution.run import outputs_and_values
from microjoule.graph.modes import in_evaluation
from microjoule.graph.network import Network

# The equations --------------------------------------------------------------------------------------------------------


def soft_divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 KL(softmax(teacher / T) || softmax(student / T)), the mean over samples (and places).

    Args:
        student: (n, classes, ...), logits.
        teacher: as `student`.
        temperature: T.

    Returns:
        ().
    """
    ours, theirs = ((logits.float() / temperature).log_softmax(1) for logits in (student, teacher))
    each = F.kl_div(ours, theirs, reduction="none", log_target=True).sum(1)
    return temperature**2 * each.mean()


def relative_error(student: Tensor, teacher: Tensor) -> Tensor:
    """The mean squared difference over the teacher's variance over all values; over 1 where that is 0.

    Args:
        student: any shape.
        teacher: as `student`.

    Returns:
        ().
    """
    teacher = teacher.float()
    variance = teacher.var(correction=0)
    return F.mse_loss(student.float(), teacher) / torch.where(variance > 0, variance, torch.ones_like(variance))


# Where it applies -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Teacher:
    """Whom a network learns from, and what.

    Args:
        network: the teacher, which stays as it is; it runs in evaluation mode.
        temperature: of the logits.
        weight: of the logits' divergence; the loss on the targets has 1 - weight.
        features: value of the student -> value of the teacher: names of nodes, or paths of layers for what they give.
        feature_weight: of the values' relative errors, added up over the values.

    Raises:
        SettingError: for a temperature of 0 or less, a weight outside [0, 1], a feature weight below 0.
    """

    network: Network
    temperature: float = 4.0
    weight: float = 0.5
    features: Mapping[str, str] = field(default_factory=dict)
    feature_weight: float = 1.0

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise SettingError("temperature", f"is {self.temperature}", remedy="give more than 0")
        if not 0 <= self.weight <= 1:
            raise SettingError("weight", f"is {self.weight}", remedy="give 0 to 1: the teacher's share of the loss")
        if not self.feature_weight >= 0:
            raise SettingError("feature_weight", f"is {self.feature_weight}", remedy="give 0 or more")


class Lessons:
    """What a student is told, batch by batch.

    Args:
        student: the network that learns.
        teacher: whom from.

    Raises:
        GraphError: if a value is in none of the two, or the student is its own teacher.
    """

    def __init__(self, student: Network, teacher: Teacher) -> None:
        if student.module is teacher.network.module:
            raise GraphError("teacher", "is the network that learns", remedy="give a copy: network.copy()")
        self.teacher = teacher
        self.wanted = [find_value(student, name) for name in teacher.features]
        self.shown = [find_value(teacher.network, name) for name in teacher.features.values()]
        self.student = student

    @contextmanager
    def teaching(self) -> Iterator[None]:
        """A context in which the teacher is in evaluation mode on the student's device; after it, as it was before."""
        network, device = self.teacher.network, self.teacher.network.device
        with in_evaluation(network.module):
            network.to(self.student.device)
            try:
                yield
            finally:
                network.to(device)

    def loss(self, outputs: Any, values: dict[Node, Tensor], inputs: tuple[Any, ...], task: Tensor | None) -> Tensor:
        """The loss with the teacher's part.

        Args:
            outputs: of the student.
            values: of the student's nodes `wanted`.
            inputs: of the batch, on the networks' device.
            task: (), the loss on the targets; None where there are none.

        Returns:
            ().

        Raises:
            DataError: if the outputs are no logits, or values differ in shape.
        """
        with torch.no_grad():
            theirs, known = outputs_and_values(self.teacher.network, inputs, self.shown)
        ours, theirs = logits(outputs, "student"), logits(theirs, "teacher")
        _check_alike(ours, theirs, "outputs")
        told = soft_divergence(ours, theirs, self.teacher.temperature)
        weight = self.teacher.weight
        total = told if task is None else (1 - weight) * task + weight * told
        for wanted, shown in zip(self.wanted, self.shown, strict=True):
            _check_alike(values[wanted], known[shown], wanted.name)
            total = total + self.teacher.feature_weight * relative_error(values[wanted], known[shown])
        return total


def find_value(network: Network, name: str) -> Node:
    """The node of a name, or that gives what the layer at a path gives.

    Raises:
        GraphError: if there is neither.
    """
    layers = {layer.path: layer.node for layer in network.layers}
    return layers[name] if name in layers else network.node(name)


def logits(outputs: Any, place: str) -> Tensor:
    """(n, classes, ...): outputs, if they are a tensor of this kind.

    Raises:
        DataError: if they are something else.
    """
    if isinstance(outputs, Tensor) and outputs.dim() >= 2:
        return outputs
    kind = f"of shape {tuple(outputs.shape)}" if isinstance(outputs, Tensor) else f"a {type(outputs).__name__}"
    remedy = "give a loss of your own: loss=lambda outputs, targets: ..."
    raise DataError(place, f"gives outputs {kind}, not logits (n, classes, ...)", remedy=remedy)


def _check_alike(ours: Tensor, theirs: Tensor, place: str) -> None:
    if ours.shape != theirs.shape:
        fact = f"has shape {tuple(ours.shape)} in the network and {tuple(theirs.shape)} in its teacher"
        raise DataError(place, fact, remedy="choose values of the same shape")
