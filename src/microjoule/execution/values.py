"""Values as people have them - tensors, arrays, numbers, lists of numbers - as the tensors that a network takes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from microjoule.errors import DataError
from microjoule.execution.signature import Input, shape_text

FORMS = "give tensors, arrays or numbers, or say with transform= what makes inputs of an item"


def is_numeric(value: Any) -> bool:
    """Whether a value is one array: a tensor, an array, a number, or a list of numbers, nested or not."""
    if isinstance(value, list):
        return bool(value) and all(isinstance(item, list | bool | int | float) and is_numeric(item) for item in value)
    return isinstance(value, Tensor | np.ndarray | np.generic | bool | int | float) or hasattr(value, "__array__")


def kind_of(value: Any) -> str:
    """What numbers an array holds: "f" for floating point, "i" for integers, "b" for true and false."""
    if isinstance(value, Tensor):
        return "f" if value.is_floating_point() else "b" if value.dtype == torch.bool else "i"
    kind = np.asarray(value).dtype.kind
    return kind if kind in "fb" else "i"


def shape_of(value: Any) -> tuple[int, ...]:
    """The shape of an array; that of lists of other lengths ends where they differ."""
    if not isinstance(value, list):
        return tuple(np.shape(value))
    inner = {shape_of(item) for item in value}
    return (len(value), *next(iter(inner))) if len(inner) == 1 else (len(value),)


def as_tensor(value: Any, place: str) -> Tensor:
    """A tensor of a value; float64 becomes float32.

    Raises:
        DataError: if it holds no numbers.
    """
    if isinstance(value, Tensor):
        if value.layout is not torch.strided:
            raise DataError(place, "holds a sparse tensor", remedy="make it dense, x.to_dense()")
        tensor = value.detach()
    elif isinstance(value, bool | int | float | list):
        try:
            tensor = torch.tensor(value)
        except (ValueError, TypeError, RuntimeError) as error:
            raise DataError(place, f"holds lists that are no array: {error}", remedy=FORMS) from error
    else:
        tensor = _of_array(np.asarray(value), place)
    return tensor.float() if tensor.dtype == torch.float64 else tensor


def _of_array(array: np.ndarray[Any, Any], place: str) -> Tensor:
    if array.dtype.kind not in "fiub":
        raise DataError(place, f"holds values of type {array.dtype}", remedy="give numbers")
    native: np.ndarray[Any, Any] = array.astype(array.dtype.newbyteorder("="), copy=False)
    if native.dtype.kind == "u" and native.dtype.itemsize > 1:  # torch computes with few of these
        native = native.astype(np.int64)
    # torch takes no reversed or read-only array
    return torch.from_numpy(np.require(native, None, ["C", "W"]))


def cast(value: Tensor, like: Tensor, entry: Input, place: str) -> Tensor:
    """An input in the type that the network was captured with, where no value changes by that.

    Args:
        value: any shape.
        like: any shape; the tensor of the example.
        entry: the input that it is, or is part of.
        place: the name of the data, for messages.

    Raises:
        DataError: if values would change, or pixels are given where normalised inputs are taken.
    """
    if value.dtype == like.dtype or like.is_complex():
        return value
    if like.is_floating_point() and value.dtype == torch.uint8 and value.dim() > 2 and not entry.stored:
        fact = f"gives {entry.name} as pixels, {shape_text(value)}, and the network takes {shape_text(like)}"
        remedy = "prepare them as in training, for example transform=lambda item: (item[0] / 255, item[1])"
        raise DataError(place, fact, remedy=remedy)
    changed = value.to(like.dtype)
    if not like.is_floating_point() and not torch.equal(changed.to(value.dtype), value):
        fact = (
            f"gives {entry.name} as {shape_text(value)}, whose values are no {str(like.dtype).removeprefix('torch.')}"
        )
        raise DataError(place, fact, remedy=f"give it as the example has it: {shape_text(like)}")
    return changed


def as_targets(value: Any, labels: tuple[str, ...], place: str) -> Any:
    """Targets with arrays and numbers as tensors, and names of classes as their numbers.

    Args:
        value: a tensor, array, number or text, or nested lists, tuples and dicts of these.
        labels: the names of the classes, if they are known.
        place: the name of the data, for messages.

    Raises:
        DataError: for the name of a class that the network's labels lack.
    """
    if isinstance(value, str) or (isinstance(value, list | tuple) and value and all(isinstance(v, str) for v in value)):
        return _numbers_of([value] if isinstance(value, str) else list(value), labels, place)
    if isinstance(value, bool | int | float | np.generic):
        return as_tensor(value, place).reshape(1)
    if is_numeric(value):
        return value if isinstance(value, Tensor) else as_tensor(value, place)
    if isinstance(value, Mapping):
        return {key: as_targets(item, labels, place) for key, item in value.items()}
    if isinstance(value, list):
        return [as_targets(item, labels, place) for item in value]
    return value


def _numbers_of(names: list[str], labels: tuple[str, ...], place: str) -> Any:
    """The numbers of classes; names stay names where the network has no labels."""
    if not labels:
        return names
    numbers = {label: number for number, label in enumerate(labels)}
    unknown = [name for name in names if name not in numbers]
    if unknown:
        fact = f"has targets {unknown[:3]}, which are none of the network's {len(labels)} labels"
        raise DataError(place, fact, remedy="give the numbers of classes, or the network's card those labels")
    return torch.tensor([numbers[name] for name in names])


def check_finite(value: Tensor, place: str) -> None:
    """See that inputs are numbers.

    Args:
        value: any shape.
        place: the name of the data, for messages.

    Raises:
        DataError: for NaN or infinity.
    """
    if value.is_floating_point() and not bool(torch.isfinite(value).all()):
        raise DataError(place, "holds NaN or infinite inputs", remedy="check how the data is loaded")
