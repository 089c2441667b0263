"""Small random models: layers with odd attributes, functional and module forms, branches, shared layers, constants."""

import random
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.random_parts import (
    ACTIVATIONS,
    NORMS,
    WEIGHT_NORMS,
    Made,
    RandomModel,
    Shape,
    Step,
    attention,
    recurrent,
    settle,
    shape_after,
)


class Drawn(NamedTuple):
    """A model in evaluation mode, and the shape of one sample."""

    model: RandomModel
    shape: Shape


def random_model(seed: int, *, steps: int = 7) -> Drawn:
    """A model of some steps, the same for the same seed.

    Args:
        seed: of every draw.
        steps: at most.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _Draft(seed).drawn(steps)


class _Draft:
    """A model that grows."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.shapes: list[Shape] = []
        self.steps: list[tuple[nn.Module, tuple[int, ...]]] = []

    def drawn(self, most: int) -> Drawn:
        pick = self.random.choice
        first = pick([(3, 8, 8), (4, 9, 7), (6, 12), (4, 10), (8,), (12,), (2, 4, 5, 6), (3, 12, 12)])
        self.shapes.append(first)
        wanted = self.random.randint(2, most)
        while len(self.steps) < wanted:
            index = len(self.shapes) - 1 if self.random.random() < 0.8 else self.random.randrange(len(self.shapes))
            self._grow(index)
        if len(self.shapes[-1]) > 1 and self.random.random() < 0.5:
            self._add(self._head(self.shapes[-1]), len(self.shapes) - 1)
        form = pick(["tensor", "tensor", "tuple", "dict"])
        last = len(self.shapes) - 1
        outputs = (last,) if form == "tensor" else (last, self.random.randrange(1, last + 1))
        model = RandomModel(self.steps, outputs, form).eval()
        settle(model)
        return Drawn(model, first)

    def _add(self, made: Made | None, *reads: int) -> None:
        if made is not None:
            step, shape = made
            self.steps.append((step, reads))
            self.shapes.append(shape)

    def _grow(self, index: int) -> None:
        shape = self.shapes[index]
        same = [at for at, other in enumerate(self.shapes) if other == shape and at != index]
        if same and self.random.random() < 0.2:
            self._add(self._merge(shape), index, self.random.choice(same))
            return
        again = [
            step
            for (step, reads), made in zip(self.steps, self.shapes[1:], strict=True)
            if self.shapes[reads[0]] == shape == made
        ]
        if again and self.random.random() < 0.05:  # a layer that is called twice
            step = self.random.choice(again)
            if next(len(reads) for one, reads in self.steps if one is step) == 1:
                self._add((step, shape), index)
                return
        kinds: list[Callable[[Shape], Made | None]] = [
            self._activation,
            self._arithmetic,
            self._layer,
            self._layer,
            self._norm,
        ]
        kinds += [self._pool, self._move, self._move] if len(shape) > 1 else [self._batch_trick]
        kinds += (
            [lambda one: attention(self.random, one), lambda one: recurrent(self.random, one)]
            if len(shape) == 2
            else []
        )
        self._add(self.random.choice(kinds)(shape), index)

    # Layers -----------------------------------------------------------------------------------------------------------

    def _layer(self, shape: Shape) -> Made | None:
        if len(shape) == 1 or (len(shape) == 2 and self.random.random() < 0.5):
            return self._linear(shape)
        return self._transposed(shape) if self.random.random() < 0.15 else self._convolution(shape)

    def _linear(self, shape: Shape) -> Made:
        ins, outs, pick = shape[-1], self.random.choice([4, 6, 8]), self.random.choice
        made, bias = (*shape[:-1], outs), self.random.random() < 0.7
        layer = nn.Linear(ins, outs, bias=bias)
        weight, added = nn.Parameter(torch.randn(ins, outs) / ins**0.5), nn.Parameter(torch.randn(outs) / 2)
        form = pick(["module", "module", "functional", "matmul", "transposed", "einsum", "norm", "computed", "addmm"])
        if form == "module":
            return layer, made
        if form == "norm":
            return pick(NORMS)(layer), made
        if form == "functional":
            return Step(
                lambda m, x: F.linear(x, m.w, m.b), w=nn.Parameter(layer.weight.detach().clone()), b=added
            ), made
        if form == "matmul":
            return Step(lambda m, x: x @ m.w + m.b, w=weight, b=added), made
        if form == "transposed":
            return Step(lambda m, x: x @ m.w.T, w=nn.Parameter(layer.weight.detach().clone())), made
        if form == "einsum":
            return Step(lambda m, x: torch.einsum("...i,ij->...j", x, m.w), w=weight), made
        if form == "computed":
            return Step(
                lambda m, x: F.linear(x, m.w * m.mask, m.b), w=layer.weight, b=added, mask=(layer.weight > 0).float()
            ), made
        flat = len(shape) == 1
        return (Step(lambda m, x: torch.addmm(m.b, x, m.w), w=weight, b=added), made) if flat else (layer, made)

    def _convolution_settings(self, rank: int, channels: int) -> tuple[int, dict[str, Any]]:
        pick = self.random.choice
        groups = pick([1, 1, 1, channels, 2])
        groups = groups if channels % groups == 0 else 1
        outs = groups * pick([1, 2, 3])
        settings: dict[str, Any] = {
            "kernel_size": pick([1, 2, 3, 3]),
            "stride": pick([1, 1, 1, 2]),
            "dilation": pick([1, 1, 1, 2]),
            "groups": groups,
            "bias": self.random.random() < 0.7,
        }
        settings["padding"] = pick([0, 0, 1, 1, "same", "valid"]) if settings["stride"] == 1 else pick([0, 1])
        settings["padding_mode"] = pick(["zeros"] * 5 + ["reflect", "replicate", "circular"])
        if rank == 3 and settings["padding_mode"] == "reflect":
            settings["padding_mode"] = "zeros"
        return outs, settings

    def _convolution(self, shape: Shape) -> Made | None:
        rank, channels, pick = len(shape) - 1, shape[0], self.random.choice
        outs, settings = self._convolution_settings(rank, channels)
        groups = settings["groups"]
        layer = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[rank - 1](channels, outs, **settings)
        made = shape_after(layer, shape)
        if made is None:
            return None
        form = pick(["module"] * 5 + ["norm", "standardized", "functional"])
        if form == "norm":
            return pick(WEIGHT_NORMS)(layer), made
        if settings["padding_mode"] != "zeros" or form == "module":
            return layer, made
        call = (F.conv1d, F.conv2d, F.conv3d)[rank - 1]
        numbers = (settings["stride"], settings["padding"], settings["dilation"], groups)
        if form == "functional":
            return Step(lambda m, x: call(x, m.w, m.b, *numbers), w=layer.weight, b=layer.bias), made
        dims = tuple(range(1, rank + 2))
        return (
            (
                Step(
                    lambda m, x: call(
                        x,
                        (m.c.weight - m.c.weight.mean(dims, True)) / (m.c.weight.std(dims, keepdim=True) + 1e-3),
                        m.c.bias,
                        *numbers,
                    ),
                    c=layer,
                ),
                made,
            )
            if layer.weight[0].numel() > 1
            else (layer, made)
        )

    def _transposed(self, shape: Shape) -> Made | None:
        rank, channels, pick = len(shape) - 1, shape[0], self.random.choice
        groups = pick([1, 1, channels])
        stride = pick([1, 2])
        layer = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[rank - 1](
            channels,
            groups * pick([1, 2]),
            pick([1, 2, 3]),
            stride=stride,
            padding=pick([0, 0, 1]),
            output_padding=pick([0, 1]) if stride == 2 else 0,
            groups=groups,
            bias=self.random.random() < 0.7,
        )
        made = shape_after(layer, shape)
        return None if made is None or max(made[1:]) > 20 else (layer, made)

    def _norm(self, shape: Shape) -> Made:
        rank, channels, pick = len(shape) - 1, shape[0], self.random.choice
        kind = pick(["batch", "batch", "layer", "group", "instance", "functional"])
        if kind == "layer" or (rank == 0 and kind in ("group", "instance", "functional")):
            size = shape if self.random.random() < 0.3 else shape[-1:]
            return nn.LayerNorm(
                size, elementwise_affine=self.random.random() < 0.8, bias=self.random.random() < 0.8
            ), shape
        affine = self.random.random() < 0.8
        if kind == "group":
            return nn.GroupNorm(pick([1, channels]), channels, affine=affine), shape
        if kind == "instance" and rank and min(shape[1:]) > 1:
            return (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)[rank - 1](channels, affine=affine), shape
        if kind == "functional":
            scale = nn.Parameter(torch.rand(channels, *[1] * rank) + 0.5)
            return Step(lambda m, x: x * (x.square().mean(1, keepdim=True) + 1e-5).rsqrt() * m.g, g=scale), shape
        return (nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[rank](
            channels, eps=pick([1e-5, 1e-3]), affine=affine
        ), shape

    # Everything else --------------------------------------------------------------------------------------------------

    def _activation(self, shape: Shape) -> Made:
        return self.random.choice(ACTIVATIONS)(), shape

    def _arithmetic(self, shape: Shape) -> Made:
        channel, pick = (shape[0], *[1] * (len(shape) - 1)), self.random.choice
        gamma, scale = nn.Parameter(torch.rand(channel) + 0.5), torch.tensor([pick([0.5, 2.0, -1.5])])
        return pick(
            [
                Step(lambda m, x: x * m.g, g=gamma),
                Step(lambda m, x: x + m.g, g=nn.Parameter(torch.randn(shape) / 2)),
                Step(lambda m, x: x * m.k.item() + 1, k=scale),
                Step(lambda m, x: (x - m.k) / 2, k=scale),
                Step(lambda m, x: x * torch.sigmoid(x * 1.7)),
                Step(lambda m, x: 1 - x),
                Step(lambda m, x: x * torch.linspace(0.5, 1, shape[-1])),
            ]
        ), shape

    def _merge(self, shape: Shape) -> Made:
        axis = self.random.randint(1, len(shape))
        joined = (*shape[: axis - 1], 2 * shape[axis - 1], *shape[axis:])
        return self.random.choice(
            [
                (Step(lambda m, x, y: x + y), shape),
                (Step(lambda m, x, y: x * torch.sigmoid(y)), shape),
                (Step(lambda m, x, y: x - 0.5 * y), shape),
                (Step(lambda m, x, y: torch.cat([x, y], axis)), joined),
                (Step(lambda m, x, y: torch.maximum(x, y)), shape),
                (Step(lambda m, x, y: torch.stack([x, y], 1).mean(1)), shape),
            ]
        )

    def _pool(self, shape: Shape) -> Made | None:
        rank, pick = len(shape) - 1, self.random.choice
        kernel, stride = pick([2, 3]), pick([1, 2, 2])
        padding, ceil = pick([0, 0, 1]), pick([False, False, True])
        most: Any = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[rank - 1]
        mean: Any = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)[rank - 1]
        some: Any = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)[rank - 1]
        counted = {"count_include_pad": pick([True, False])} | (
            {"divisor_override": 3} if rank > 1 and pick([0, 0, 1]) else {}
        )
        step = pick(
            [
                Step(lambda m, x: most(x, kernel, stride, padding, ceil_mode=ceil)),
                mean(kernel, stride, padding, ceil, **counted),
                some(pick([1, 2])),
                Step(lambda m, x: x.mean(tuple(range(2, rank + 2)), keepdim=True)),
                Step(lambda m, x: x.amax(-1, keepdim=True)),
            ]
        )
        made = shape_after(step, shape)
        return None if made is None else (step, made)

    def _move(self, shape: Shape) -> Made | None:
        rank, pick = len(shape) - 1, self.random.choice
        order = [0, *(1 + place for place in self.random.sample(range(len(shape)), len(shape)))]
        pad = [pick([0, 1, 2]) for _ in range(2 * rank)] if rank else [1, 0]
        steps: list[nn.Module] = [
            Step(lambda m, x: x.permute(order)),
            Step(lambda m, x: x.transpose(-1, -2)),
            Step(lambda m, x: x.flip(-1)),
            Step(lambda m, x: x.roll(1, -1)),
            Step(lambda m, x: F.pad(x, pad, value=pick([0.0]))),
            Step(lambda m, x: F.pad(x, [1, 1] * min(rank, 2), mode="replicate") if rank in (1, 2) else x),
            Step(lambda m, x: x[:, :, 1:] if shape[1] > 1 else x),
            Step(lambda m, x: torch.cat(x.chunk(2, 1)[::-1], 1)),
            Step(lambda m, x: x.reshape(x.shape[0], -1)),
            Step(lambda m, x: x.flatten(2) if rank > 1 else x.flatten(1)),
            Step(lambda m, x: torch.stack(x.unbind(1), -1)),
            Step(lambda m, x: F.interpolate(x, scale_factor=2) if max(shape[1:]) < 8 else x),
            Step(lambda m, x: x.view(x.size(0), shape[0], -1).repeat_interleave(2, 2)[:, :, ::2]),
        ]
        if rank == 2:
            steps += [
                nn.PixelUnshuffle(2) if shape[1] % 2 == shape[2] % 2 == 0 else nn.Identity(),
                nn.Upsample(scale_factor=2, mode="bilinear") if max(shape[1:]) < 8 else nn.Identity(),
            ]
        step = pick([*steps, self._batch_trick(shape)[0]])
        made = shape_after(step, shape)
        return None if made is None or len(made) > 4 else (step, made)

    def _batch_trick(self, shape: Shape) -> Made:
        """Samples cut in parts that go through as samples of their own, and are put together again."""
        if shape[-1] % 2:
            return Step(lambda m, x: x.reshape(1, -1, *shape).squeeze(0)), shape
        half = (*shape[:-1], shape[-1] // 2)

        def parted(m: Any, x: Tensor) -> Tensor:
            n = x.shape[0]
            parts = torch.stack([x[..., : half[-1]], x[..., half[-1] :]], 1).reshape(n * 2, *half)
            return (
                (parts * 0.5 + 0.1).reshape(n, 2, *half).transpose(0, 1).reshape(2, n, *half).movedim(0, -2).flatten(-2)
            )

        return Step(parted), shape

    def _head(self, shape: Shape) -> Made:
        size = 1
        for one in shape:
            size *= one
        if size > 2000:
            return Step(lambda m, x: x.flatten(2).mean(2) if len(shape) > 1 else x), shape[:1]
        return nn.Sequential(nn.Flatten(), nn.Linear(size, 5)), (5,)
