"""The parts of random models: functions as modules, activations, attention, recurrent layers."""

import random
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

Shape = tuple[int, ...]
"""Of one sample: (channels, *size) of an image, a series or a volume; (tokens, features); (features,)."""

Made = tuple[nn.Module, Shape]
"""A step, and the shape of what it gives."""


NORMS: list[Callable[[nn.Module], nn.Module]] = [weight_norm, spectral_norm]
WEIGHT_NORMS: list[Callable[[nn.Module], nn.Module]] = [weight_norm, nn.utils.weight_norm]
"""Parametrizations of a weight: of linear layers, and of convolutions."""


class Step(nn.Module):
    """A function of itself and its inputs, with the modules and tensors that it uses."""

    def __init__(self, function: Callable[..., Tensor], **parts: Any) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            if isinstance(part, Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)

    def forward(self, *inputs: Tensor) -> Tensor:
        """What the function gives.

        Args:
            inputs: of any shape.
        """
        return self.function(self, *inputs)


class RandomModel(nn.Module):
    """Steps one after another, each of which reads some values before it."""

    def __init__(self, steps: list[tuple[nn.Module, tuple[int, ...]]], outputs: tuple[int, ...], form: str) -> None:
        super().__init__()
        self.steps = nn.ModuleList(step for step, _ in steps)
        self.reads = [reads for _, reads in steps]
        self.outputs = outputs
        self.form = form

    def forward(self, x: Tensor) -> Any:
        """One or several values.

        Args:
            x: (n, *shape).
        """
        values = [x]
        for step, reads in zip(self.steps, self.reads, strict=True):
            values.append(step(*(values[index] for index in reads)))
        found = [values[index] for index in self.outputs]
        if self.form == "dict":
            return {f"out{index}": value for index, value in enumerate(found)}
        return tuple(found) if self.form == "tuple" else found[0]


def attention(drawn: random.Random, shape: Shape) -> Made:
    """Attention of tokens among each other, as a module or written out."""
    tokens, features, pick = *shape, drawn.choice
    heads = pick([1, 2]) if features % 2 == 0 else 1
    form = pick(["module", "dot product", "by hand", "by hand"])
    if form == "module":
        layer = nn.MultiheadAttention(features, heads, batch_first=True)
        return Step(lambda m, x: m.mha(x, x, x, need_weights=False)[0], mha=layer), shape
    qkv, mask = nn.Linear(features, 3 * features), torch.ones(tokens, tokens, dtype=torch.bool).triu(1)
    if form == "dot product":

        def dot(m: Any, x: Tensor) -> Tensor:
            q, k, v = m.qkv(x).reshape(x.shape[0], tokens, 3, heads, -1).permute(2, 0, 3, 1, 4)
            out: Tensor = F.scaled_dot_product_attention(q, k, v, is_causal=m.causal)
            return out.transpose(1, 2).flatten(2)

        return Step(dot, qkv=qkv, causal=pick([True, False])), shape
    bias = nn.Parameter(torch.randn(2 * tokens - 1) / 2)

    def by_hand(m: Any, x: Tensor) -> Tensor:
        q, k, v = m.qkv(x).chunk(3, -1)
        places = torch.arange(tokens)
        scores = q @ k.transpose(1, 2) * features**-0.5 + m.bias[places[:, None] - places + tokens - 1]
        if m.causal:
            scores = scores.masked_fill(m.mask, torch.finfo(scores.dtype).min)
        out: Tensor = scores.softmax(-1) @ v
        return out

    return Step(by_hand, qkv=qkv, bias=bias, mask=mask, causal=pick([True, False])), shape


def recurrent(drawn: random.Random, shape: Shape) -> Made:
    """A recurrent layer."""
    cell, pick = drawn.choice([nn.LSTM, nn.GRU, nn.RNN]), drawn.choice
    both = pick([False, False, True])
    layer = cell(shape[-1], 4, num_layers=pick([1, 2]), bias=pick([True, False]), bidirectional=both, batch_first=True)
    return Step(lambda m, x: m.rnn(x)[0], rnn=layer), (shape[0], 8 if both else 4)


ACTIVATIONS: tuple[Callable[[], nn.Module], ...] = (
    *(nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.Hardswish, nn.Sigmoid, nn.Tanh, nn.Hardsigmoid, nn.Mish, nn.Softplus),
    lambda: nn.LeakyReLU(0.2),
    lambda: nn.PReLU(),
    lambda: nn.ELU(0.7),
    lambda: nn.Hardtanh(-0.5, 2),
    lambda: nn.GELU("tanh"),
    lambda: nn.ReLU(inplace=True),
    lambda: nn.Softmax(-1),
    lambda: nn.Dropout(0.3),
    lambda: Step(lambda m, x: F.relu_(x + 0)),
    lambda: Step(lambda m, x: x.clamp(-0.3, 0.9)),
    lambda: Step(lambda m, x: x.clamp_min(0.1)),
    lambda: Step(lambda m, x: F.log_softmax(x, -1)),
    lambda: Step(lambda m, x: torch.where(x > 0, x, 0.3 * x)),
    lambda: Step(lambda m, x: (x.abs() + 1).sqrt()),
)


def shape_after(step: nn.Module, shape: Shape) -> Shape | None:
    """The shape of what a step gives for one sample, or None if it does not go through."""
    try:
        with torch.no_grad():
            made = tuple(step.eval()(torch.zeros(2, *shape)).shape)
    except (RuntimeError, ValueError, IndexError):
        return None
    return made[1:] if made[0] == 2 and 0 not in made and len(made) > 1 and max(made[1:]) < 200 else None


def settle(model: nn.Module) -> None:
    """Statistics as after training."""
    for one in model.modules():
        if (
            isinstance(one, nn.modules.batchnorm._BatchNorm)
            and one.running_mean is not None
            and one.running_var is not None
        ):
            one.running_mean.normal_()
            one.running_var.uniform_(0.5, 2)
            if one.affine:
                nn.init.uniform_(one.weight, 0.5, 1.5)
                nn.init.normal_(one.bias)
