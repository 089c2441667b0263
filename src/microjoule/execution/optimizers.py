"""Optimizers by name, what they do to which parameter, and the learning rate over a run."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from microjoule.errors import SettingError

Groups = list[dict[str, Any]]
"""Parameters with a learning rate and weight decay of their own, as torch's optimizers take them."""

MakeOptimizer = Callable[[Groups], Optimizer]
"""The groups -> an optimizer of them."""

MOMENTUM = 0.9
"""Of SGD: the value of Nesterov momentum in He et al. 2016, https://arxiv.org/abs/1512.03385, and most work since."""


def sgd(groups: Groups) -> Optimizer:
    """Stochastic gradient descent with Nesterov momentum."""
    return torch.optim.SGD(groups, momentum=MOMENTUM, nesterov=True)


def adamw(groups: Groups) -> Optimizer:
    """Adam with decoupled weight decay."""
    return torch.optim.AdamW(groups)


OPTIMIZERS: dict[str, MakeOptimizer] = {"sgd": sgd, "adamw": adamw}


def find_optimizer(optimizer: str | MakeOptimizer) -> MakeOptimizer:
    """The optimizer of a name; a function stays as it is.

    Raises:
        SettingError: for another name.
    """
    if not isinstance(optimizer, str):
        return optimizer
    if optimizer not in OPTIMIZERS:
        remedy = f"choose {' or '.join(OPTIMIZERS)}, or give a function of parameter groups"
        raise SettingError("optimizer", f"is {optimizer!r}", remedy=remedy)
    return OPTIMIZERS[optimizer]


def parameter_groups(
    named: Iterable[tuple[str, nn.Parameter]],
    *,
    learning_rate: float,
    weight_decay: float,
    factor: Callable[[str], float] | None = None,
) -> Groups:
    """Group what can be trained: weights decay; biases and norms, which have one dimension at most, do not.

    Args:
        named: names and parameters; those without a gradient are left out.
        learning_rate: of all.
        weight_decay: of the weights.
        factor: a parameter's name -> by what its learning rate is multiplied.

    Raises:
        SettingError: if nothing can be trained.
    """
    grouped: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in named:
        if parameter.requires_grad:
            rate = learning_rate * (1.0 if factor is None else factor(name))
            grouped.setdefault((rate, weight_decay if parameter.dim() > 1 else 0.0), []).append(parameter)
    if not grouped:
        raise SettingError("network", "has no parameter to train", remedy="set requires_grad where it should learn")
    return [{"params": found, "lr": rate, "weight_decay": decay} for (rate, decay), found in grouped.items()]


def warm_cosine(step: int, *, steps: int, warmup: int) -> float:
    """The share of the peak learning rate that a step has.

    It rises evenly over the first `warmup` steps, the last of which has the peak, and falls to 0 along half a cosine:

        (step + 1) / warmup,   then   (1 + cos(pi (step - warmup) / (steps - warmup))) / 2.

    Source: Loshchilov and Hutter 2017, SGDR, https://arxiv.org/abs/1608.03983, equation 5; the warm-up: Goyal et al.
    2017, https://arxiv.org/abs/1706.02677, section 2.2.

    Args:
        step: 0 for the first.
        steps: of the whole run.
        warmup: how many of them rise.
    """
    if step < warmup:
        return (step + 1) / warmup
    return (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup)))) / 2
