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
from microjoule.records.compressed import Compressed
from microjoule.records.facts import Placed, Run
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
    if source.startswith(ZOO):
        card = cards.card(source.removeprefix(ZOO))
        return Model(
            source, capture(models.load(card.name, zoo_data), _random((1, *card.input_shape), card.input_range)), card
        )
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


def stage_name(network: Network) -> str:
    """What to call a network in records: "fp32", "compressed", or its recipe and bits, such as "data-free W8A8"."""
    placed = [record for record in network.history if isinstance(record, Placed)]
    if not placed:
        return "compressed" if any(isinstance(record, Compressed) for record in network.history) else "fp32"
    runs = [record.recipe for record in network.history if isinstance(record, Run)]
    bits = {kind: {grid.bits for grid in placed[-1].grids if grid.kind == kind} for kind in ("weight", "activation")}
    widths = {kind: str(next(iter(found))) if len(found) == 1 else "x" for kind, found in bits.items()}
    recipe = runs[-1].replace("_", "-") if runs else "quantized"
    return f"{recipe} W{widths['weight']}A{widths['activation']}"


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
