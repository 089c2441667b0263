"""Holding what a caller gives to what a network takes: by place, by name or as a dict, in the signature's order.

Whatever does not fit is refused with the input's name. Sizes that were free and passed once are not looked at again, so
that a batch costs a comparison of shapes.
"""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from microjoule.errors import DataError
from microjoule.graph.contract import Contract, Input, Parameter, dtype_of
from microjoule.graph.nest import Constant, Items, Leaf, Nest, leaves, opened
from microjoule.graph.sizes import evaluate, text

REMEMBERED = 1000
"""How many shapes that passed are remembered."""

CAPTURE_AGAIN = "capture the model again with an example of this kind"


class Binder:
    """Binds inputs to a contract, and remembers the sizes that it let pass.

    Args:
        contract: what the network takes.
    """

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self._types = [dtype_of(one.dtype) for one in contract.inputs]
        self._positional = [one for one in contract.parameters if one.kind == "positional"]
        self._named = {one.name: one for one in contract.parameters if one.kind in ("positional", "keyword")}
        self._rest = {one.kind: one for one in contract.parameters if one.kind in ("args", "kwargs")}
        self._passed: set[tuple[tuple[int, ...], ...]] = set()
        first = self._positional[: len(self._types)]
        self._defaults = all(one.given is None or one.default in (None, one.given) for one in contract.parameters)
        self._direct = len(first) == len(self._types) and all(isinstance(one.given, Leaf) for one in first)

    def __call__(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Tensor]:
        """The tensors of some inputs, in the order of the network's placeholders.

        Raises:
            DataError: naming the input that does not fit, what it is, and what the network was captured for.
        """
        return self._checked(self._row(args, kwargs, left_out=False))

    def captured(self, values: Sequence[Any]) -> list[Tensor]:
        """The tensors of data: a value for each input that there was at capture, in the order of the signature.

        Python arguments may be left out.

        Args:
            values: of `contract.captured`.

        Raises:
            DataError: as for a call.
        """
        inputs = self.contract.captured
        pairs = inputs if len(values) == len(inputs) else [one for one in inputs if any(leaves(one[1], ""))]
        if len(values) != len(pairs) or (len(pairs) == 1 and self._is_by_name(values[0])):
            return self._checked(self._row(values, {}, left_out=True))
        found: dict[int, Tensor] = {}
        for (name, nest), value in zip(pairs, values, strict=True):
            self._lay(nest, value, name, found)
        return self._checked([found[index] for index in range(len(self._types))])

    def _checked(self, row: list[Tensor]) -> list[Tensor]:
        for index, (tensor, dtype) in enumerate(zip(row, self._types, strict=True)):
            if tensor.dtype is not dtype:
                row[index] = _cast(self.contract.inputs[index], tensor, dtype)
        shapes = tuple(tuple(tensor.shape) for tensor in row)
        if shapes not in self._passed:
            self._check_shapes(shapes)
            if len(self._passed) == REMEMBERED:
                self._passed.clear()
            self._passed.add(shapes)
        return row

    def _row(self, args: Sequence[Any], kwargs: Mapping[str, Any], *, left_out: bool) -> list[Tensor]:
        """The tensors; `left_out` says whether Python arguments are as at capture where they are not given."""
        plain = self._direct and (self._defaults or left_out) and not kwargs
        if plain and len(args) == len(self._types) and all(isinstance(one, Tensor) for one in args):
            return list(args)
        found: dict[int, Tensor] = {}
        for parameter, value in self._assigned(args, kwargs, left_out=left_out):
            self._take(parameter, value, found)
        return [found[index] for index in range(len(self._types))]

    def _assigned(
        self, args: Sequence[Any], kwargs: Mapping[str, Any], *, left_out: bool
    ) -> list[tuple[Parameter, Any]]:
        """Each parameter with its value, as Python assigns them; a dict by itself is taken by name."""
        by_name = len(args) == 1 and not kwargs and self._is_by_name(args[0])
        args, kwargs = ((), dict(args[0])) if by_name else (args, kwargs)
        given: dict[str, Any] = {one.name: value for one, value in zip(self._positional, args, strict=False)}
        more = tuple(args[len(self._positional) :])
        if more and "args" not in self._rest:
            taken, got = len(self.contract.inputs), len(args)
            raise self._refused("inputs", f"are {got}, and it takes {taken}: {self._wanted()}")
        others: dict[str, Any] = {}
        for name, value in kwargs.items():
            if name in given:
                raise self._refused(name, "is given twice, by place and by name")
            (given if name in self._named else others)[name] = value
        if others and "kwargs" not in self._rest:
            name = next(iter(others))
            near = difflib.get_close_matches(name, list(self._named), n=1)
            guess = f"; {near[0]!r} is" if near else ""
            what = "is a key of the dict that was given, and no input" if by_name else "is no input"
            raise self._refused(f"{name!r}", f"{what} that it takes: {self._wanted()}{guess}")
        assigned = [(self._named[name], value) for name, value in given.items()]
        assigned += [(one, more if kind == "args" else others) for kind, one in self._rest.items()]
        for name, one in self._named.items():
            if name in given or one.given is None:
                continue
            if any(leaves(one.given, name)):
                raise self._refused(name, f"is missing; it takes {self._wanted()}")
            if not left_out and one.default is not None and one.default != one.given:
                fact = f"is left out, which means {one.default}; the network was captured with {one.given}"
                raise self._refused(name, fact)
        return [
            (one, value)
            for one, value in assigned
            if not (one.kind in ("args", "kwargs") and one.given is None and not value)
        ]

    def _is_by_name(self, value: Any) -> bool:
        """Whether the only input is a mapping, where the network takes a tensor first."""
        first = next((one.given for one in self.contract.parameters if one.given is not None), None)
        is_dict = isinstance(first, Items) and first.kind == "dict" and self._positional[:1] != []
        return isinstance(value, Mapping) and not is_dict

    def _take(self, parameter: Parameter, value: Any, found: dict[int, Tensor]) -> None:
        if parameter.given is not None:
            self._lay(parameter.given, value, parameter.name, found)
        elif not (isinstance(parameter.default, Constant) and parameter.default.fits(value)):
            was = "left out" if parameter.default is None else f"{parameter.default}"
            raise self._refused(parameter.name, f"is {_words(value)}; when the network was captured it was {was}")

    def _lay(self, nest: Nest, value: Any, name: str, found: dict[int, Tensor]) -> None:
        """Lay a value beside its nest, and note the tensors."""
        if isinstance(nest, Leaf):
            if not isinstance(value, Tensor):
                remedy = "give a tensor (torch.as_tensor)"
                raise self._refused(name, f"is {_words(value)}, and it takes a tensor: {self._wanted()}", remedy)
            found[nest.index] = value
        elif isinstance(nest, Constant):
            if not nest.fits(value):
                raise self._refused(
                    name, f"is {_words(value)}; the network was captured with {nest}, and computes that"
                )
        else:
            self._lay_items(nest, value, name, found)

    def _lay_items(self, nest: Items, value: Any, name: str, found: dict[int, Tensor]) -> None:
        held = opened(value)
        if held is None or (held[0] == "dict") is not (nest.kind == "dict"):
            raise self._refused(name, f"is {_words(value)}, and it takes a {nest.kind}")
        _, keys, parts = held
        by_key = dict(zip(keys, parts, strict=True))
        wanted = nest.keys if nest.kind == "dict" else tuple(range(len(nest.parts)))
        extra = [key for key in by_key if key not in wanted and by_key[key] is not None]
        lacking = [key for key in wanted if key not in by_key]
        if extra or lacking:
            fact = f"lacks {lacking[0]!r}" if lacking else f"holds {extra[0]!r}, which was not there at capture"
            raise self._refused(name, fact)
        for key, part in zip(wanted, nest.parts, strict=True):
            self._lay(part, by_key[key], f"{name}.{key}", found)

    def _check_shapes(self, shapes: tuple[tuple[int, ...], ...]) -> None:
        contract, sizes = self.contract, dict[str, int]()
        for one, shape in zip(contract.inputs, shapes, strict=True):
            if len(shape) != len(one.dims):
                raise self._shape_refused(one, shape, f"it has {len(shape)} dimensions")
            sizes |= {
                dim: size
                for dim, size in zip(one.dims, shape, strict=True)
                if isinstance(dim, str) and dim not in sizes
            }
        for one, shape in zip(contract.inputs, shapes, strict=True):
            for axis, (dim, size) in enumerate(zip(one.dims, shape, strict=True)):
                expected = evaluate(dim, sizes)
                if size != expected:
                    known = f"{text(dim)} = {expected}" if isinstance(dim, str | tuple) else f"{dim}"
                    raise self._shape_refused(one, shape, f"dimension {axis} is {size}, not {known}")
        broken = contract.broken(sizes)
        if broken:
            said = ", ".join(f"{name} = {size}" for name, size in sizes.items())
            raise self._shape_refused(contract.inputs[0], shapes[0], f"it holds where {broken}, and here {said}")

    def _shape_refused(self, one: Input, shape: tuple[int, ...], fact: str) -> DataError:
        free = f" for any {', '.join(self.contract.sizes)}" if self.contract.sizes else ""
        place = next(
            (axis for axis, (d, s) in enumerate(zip(one.dims, shape, strict=False)) if d != s and isinstance(d, int)),
            None,
        )
        if place == self.contract.batch_axis and not self.contract.dynamic_batch:
            remedy = "give batches of the example's size, or capture the model with an example of this size"
        elif _channels_last(shape, one.dims):
            remedy = "the channels seem to be last: move them before the others, x.movedim(-1, 1)"
        elif len(self.contract.inputs) > 1 and one is self.contract.inputs[-1]:
            remedy = f"{CAPTURE_AGAIN}; if the last was the target of data, give ((first, second), target)"
        elif place is None or len(shape) != len(one.dims):
            remedy = CAPTURE_AGAIN
        else:
            remedy = f"give inputs of the captured shape, or capture with dynamic={{{one.name!r}: ({place},)}}"
        return DataError(
            one.name, f"has shape {shape}, and the network was captured for {one}{free}: {fact}", remedy=remedy
        )

    def _wanted(self) -> str:
        return ", ".join(f"{one.name} {one} {one.dtype}" for one in self.contract.inputs)

    def _refused(self, name: str, fact: str, remedy: str = CAPTURE_AGAIN) -> DataError:
        return DataError(name, fact, remedy=remedy)


def _channels_last(shape: tuple[int, ...], dims: Sequence[Any]) -> bool:
    """Whether a shape (n, ..., channels) was given where (n, channels, ...) is taken."""
    return len(shape) == len(dims) > 2 and shape[-1] == dims[1] != shape[1]


def _words(value: Any) -> str:
    """What a value is, shortly."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, Mapping):
        return f"a dict of {', '.join(map(repr, value)) or 'nothing'}"
    return f"a {type(value).__name__}" if opened(value) is not None else f"{str(value)[:40]!r} ({type(value).__name__})"


def _cast(one: Input, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """A tensor in a network's type, where that is the same kind of number and holds all its values, or is real."""
    if tensor.is_floating_point() and dtype.is_floating_point:
        return tensor.to(dtype)
    whole = not tensor.is_floating_point() and not tensor.is_complex() and tensor.dtype is not torch.bool
    if (
        whole
        and dtype is not torch.bool
        and torch.promote_types(tensor.dtype, dtype) is dtype
        and not dtype.is_floating_point
    ):
        return tensor.to(dtype)
    raise DataError(
        one.name,
        f"is of type {tensor.dtype}, and the network was captured with {dtype}".replace("torch.", ""),
        remedy=f"convert it with .to({dtype}), as the model's own inputs are prepared",
    )
