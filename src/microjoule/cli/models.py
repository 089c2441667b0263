"""What a command line calls a model, to a network."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from microjoule.capture.export import capture
from microjoule.capture.load import load
from microjoule.cli import python_file
from microjoule.cli.values import whole_numbers
from microjoule.errors import FileError, SettingError
from microjoule.formats.bounded_file import exists
from microjoule.graph.network import Network
from microjoule.zoo import cards, models

ZOO = "zoo:"
REMEDY = "give a .pt2 file, a network that microjoule saved, module.py:function, or zoo:NAME"


@dataclass(frozen=True, slots=True)
class Model:
    """A network, and how it was asked for.

    Args:
        source: the user's words.
        network: captured or loaded.
        card: of a model of the zoo; None for any other.
    """

    source: str
    network: Network
    card: cards.Card | None = None


def find_model(source: str, *, shape: str | None = None, zoo_data: Path | None = None) -> Model:
    """The network that a source names.

    Args:
        source: a `.pt2` file, a file of `network.save`, `module.py:function` or `zoo:NAME`.
        shape: of one sample, such as "3,224,224", for a function that returns a module alone.
        zoo_data: the zoo's data folder; None for its default.

    Raises:
        MicrojouleError: if there is no such model, or it cannot be read or captured.
    """
    if shape is not None and not python_file.is_python(source):
        fact = f"is for a function of yours, and {source or 'nothing'} tells its own shape"
        raise SettingError("--shape", fact, remedy="leave it out")
    if source.startswith(ZOO):
        card = cards.card(source.removeprefix(ZOO))
        example = _random((1, *card.input_shape), card.input_range)
        return Model(source, capture(models.load(card.name, zoo_data), example, dynamic=card.dynamic), card)
    if python_file.is_python(source):
        return Model(source, _from_function(source, shape))
    path = Path(source)
    if path.suffix.lower() == ".onnx" and exists(path):
        raise FileError(
            source, "is an ONNX file, which cannot be a source yet (a later version will read it)", remedy=REMEDY
        )
    if not exists(path):
        raise FileError(source, "there is no such file", remedy=REMEDY)
    return Model(source, load(path))


def _random(shape: Sequence[int], bounds: tuple[float, float]) -> Tensor:
    """Inputs of a shape, even over a range; every run draws the same."""
    low, high = bounds
    return low + (high - low) * torch.rand(tuple(shape), generator=torch.Generator().manual_seed(0))


def _from_function(source: str, shape: str | None) -> Network:
    made: Any = python_file.call(source)
    if isinstance(made, nn.Module):
        if shape is None:
            raise SettingError(
                source,
                "returns a module without example inputs",
                remedy="return (module, inputs), or give --shape 3,224,224",
            )
        sizes = whole_numbers("--shape", shape, at_least=1)
        if math.prod(sizes) > 2**28:
            raise SettingError(
                "--shape", f"is {shape}, which is too large for an input", remedy="give that of one sample"
            )
        return capture(made, _random((1, *sizes), (0.0, 1.0)))
    if isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], nn.Module):
        module, inputs = made
        return capture(module, tuple(inputs) if isinstance(inputs, list) else inputs)
    raise FileError(
        source, f"returns a {type(made).__name__}", remedy="return an nn.Module, or a pair (nn.Module, example_inputs)"
    )
