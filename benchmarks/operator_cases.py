"""Operators with each attribute off its default, alone and in pairs: the cases of the table operators x attributes."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

Attributes = Mapping[str, Any]
UNHEARD = frozenset(
    ("dtype", "layout", "device", "pin_memory", "memory_format", "generator", "non_blocking", "copy", "implicit", "out")
)
"""Arguments that say where and how a tensor lies in memory, or that only training reads."""


@dataclass(frozen=True, slots=True)
class Given:
    """A tensor that an operator reads.

    Args:
        shape: of it.
        values: a word of `DRAWS`, a number k for integers from 0 to k - 1, or a pair of numbers for those in between.
        stored: it is a parameter of the model, and no input.
    """

    shape: tuple[int, ...]
    values: str | int | tuple[int, int] = "normal"
    stored: bool = False

    def draw(self, random: torch.Generator) -> Tensor:
        """A tensor."""
        if isinstance(self.values, str):
            return DRAWS[self.values](self.shape, random)
        low, high = (0, self.values) if isinstance(self.values, int) else self.values
        return torch.randint(low, high, self.shape, generator=random)


def _uniform(low: float, high: float) -> Callable[[tuple[int, ...], torch.Generator], Tensor]:
    return lambda shape, random: torch.rand(shape, generator=random) * (high - low) + low


def _distinct(shape: tuple[int, ...], random: torch.Generator) -> Tensor:
    """Different integers along the last axis but one, or the last of one."""
    axis = max(len(shape) - 2, 0)
    return torch.rand(shape, generator=random).argsort(axis)


DRAWS: dict[str, Callable[[tuple[int, ...], torch.Generator], Tensor]] = {
    "normal": lambda shape, random: torch.randn(shape, generator=random),
    "positive": _uniform(0.5, 1.5),
    "above one": _uniform(1.1, 3.0),
    "unit": _uniform(-0.9, 0.9),
    "bool": lambda shape, random: torch.rand(shape, generator=random) > 0.5,
    "sorted": lambda shape, random: torch.randn(shape, generator=random).sort().values,
    "distinct": _distinct,
}
"""How values are drawn."""

Argument = Given | tuple[Given | None, ...]
"""A tensor, or a list of them in which some may be left out."""


@dataclass(frozen=True, slots=True)
class Operator:
    """An ATen overload, what it reads, and the values that its attributes take.

    Args:
        name: as "avg_pool2d.default".
        inputs: what the tensors may be, by the argument's name; the first is the one that attributes are tried on.
        attributes: by argument, its values; the first is the one that it has while others are tried.
    """

    name: str
    inputs: tuple[Mapping[str, Any], ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def target(self) -> Any:
        """The overload itself."""
        packet, _, overload = self.name.partition(".")
        return getattr(getattr(torch.ops.aten, packet), overload)

    def unnamed(self) -> list[str]:
        """Arguments of the schema for which there is no value here."""
        names = {argument.name for argument in self.target._schema.arguments} - UNHEARD
        return sorted(names - set(self.attributes) - set().union(*self.inputs))

    def cases(self) -> Iterator["Case"]:
        """The base on each of its inputs, each attribute off its base, and each pair of attributes."""
        base = {name: values[0] for name, values in self.attributes.items()}
        for given in self.inputs:
            yield Case(self, given, base)
        others = {name: values[1:] for name, values in self.attributes.items() if len(values) > 1}
        for name, values in others.items():
            for value in values:
                yield Case(self, self.inputs[0], {**base, name: value})
        for (a, first), (b, second) in itertools.combinations(others.items(), 2):
            for one, two in itertools.product(first[:2], second[:2]):
                yield Case(self, self.inputs[0], {**base, a: one, b: two})
        for given in self.inputs[1:]:
            for name, values in others.items():
                yield Case(self, given, {**base, name: values[0]})


@dataclass(frozen=True, slots=True)
class Case:
    """One operator with values for its attributes."""

    operator: Operator
    given: Mapping[str, Argument]
    attributes: Attributes

    @property
    def changed(self) -> str:
        """The attributes that are not at the schema's default, in words."""
        defaults = {a.name: a.default_value for a in self.operator.target._schema.arguments if a.has_default_value()}
        told = (f"{n}={v}" for n, v in self.attributes.items() if n not in defaults or _plain(defaults[n]) != _plain(v))
        return ", ".join(told)

    @property
    def name(self) -> str:
        """Operator, shapes and attributes."""
        tensors = [one for one in _flat(self.given.values()) if one is not None]
        shapes = " ".join("x".join(map(str, one.shape)) or "()" for one in tensors)
        kinds = sorted({str(one.values) for one in tensors} - {"normal"})
        return f"{self.operator.name}({' '.join([shapes, *kinds])}; {self.changed})"

    def module(self) -> "Applied":
        """A model that is this operator alone."""
        return Applied(self)

    def inputs(self, samples: int | None = None, seed: int = 0) -> tuple[Tensor, ...]:
        """Tensors that are no parameters; with another first size where it is that of the samples.

        Args:
            samples: in place of the first size of every tensor that has the first one's.
            seed: of the values.
        """
        random = torch.Generator().manual_seed(seed)
        wanted = [one for one in _flat(self.given.values()) if one is not None and not one.stored]
        made = []
        for one in wanted:
            same = samples is not None and one.shape[:1] == wanted[0].shape[:1]
            shape = (samples, *one.shape[1:]) if same and samples is not None else one.shape
            made.append(replace(one, shape=shape).draw(random))
        return tuple(made)


class Applied(nn.Module):
    """An operator with its attributes and its stored tensors."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.given, self.target = case.given, case.operator.target
        self.attributes = {name: _typed(name, value) for name, value in case.attributes.items()}
        random = torch.Generator().manual_seed(1)
        for index, one in enumerate(_flat(case.given.values())):
            if one is not None and one.stored:
                values = one.draw(random)
                self.register_parameter(
                    f"stored_{index}", nn.Parameter(values, requires_grad=values.is_floating_point())
                )

    def forward(self, *inputs: Tensor) -> Any:
        """What the operator gives.

        Args:
            inputs: the tensors that are not stored, in order.
        """
        left, places = iter(inputs), itertools.count()

        def value(one: Given | None) -> Any:
            index = next(places)
            if one is None:
                return None
            return getattr(self, f"stored_{index}") if one.stored else next(left)

        tensors = {
            name: [value(part) for part in one] if isinstance(one, tuple) else value(one)
            for name, one in self.given.items()
        }
        args = {**self.attributes, **tensors}
        plain = []
        for argument in self.target._schema.arguments:
            if argument.kwarg_only or argument.name not in args:
                break
            plain.append(args.pop(argument.name))
        return self.target(*plain, **args)


def _flat(arguments: Iterable[Argument]) -> list[Given | None]:
    """All tensors, those of lists too."""
    return [part for one in arguments for part in (one if isinstance(one, tuple) else (one,))]


def _typed(name: str, value: Any) -> Any:
    """A type by its name."""
    return getattr(torch, value) if name == "dtype" and isinstance(value, str) else value


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | list) else value
