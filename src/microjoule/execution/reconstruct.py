"""Layer-by-layer reconstruction: each layer is fitted to what it gave in floating point.

A layer of a quantized network reads inputs that differ from those in floating point, since the layers before it are
quantized, too. Fitting what it makes of *those* to what it ought to give,

    minimise  E || y - (Wq x^ + b) ||^2,   y in floating point, x^ from the quantized network so far,

lets each layer make up for the errors before it. What is fitted and how is the caller's; here the rows x^ and y are
gathered, at sampled places of the output, in one pass through the network.

Source: Nagel et al. 2020, https://arxiv.org/abs/2004.10568, section 3.3 (asymmetric reconstruction).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from microjoule.execution.batches import Batches, first
from microjoule.execution.kept import Fitted, Kept, fingerprint
from microjoule.execution.progress import Progress, track
from microjoule.execution.run import unquantized, visit
from microjoule.execution.stages import Stages
from microjoule.execution.store import KeptInputs, Store
from microjoule.graph.edit import set_bias
from microjoule.graph.network import Network
from microjoule.graph.ops import Activation, Layer
from microjoule.graph.patches import input_rows, output_rows, output_sizes, sample_positions
from microjoule.graph.walk import only_user

ROWS = 2**14
"""Places of a layer's output that are looked at, over all samples."""


VALUES = 2**26
"""Inputs of one layer that are gathered at most, over all rows: 256 MiB of float32."""


@dataclass(frozen=True, slots=True)
class Look:
    """How much of the data is looked at, and where layers that are done are kept.

    Args:
        samples: how many samples to use; None for all.
        rows: how many places of a layer's output at most, over all samples; at least one of each sample.
        seed: of the places.
        folder: keeps each layer as soon as it is fitted; a run that finds it goes on from there.
    """

    samples: int | None = None
    rows: int = ROWS
    seed: int = 0
    folder: str | Path | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """What a layer reads and ought to give.

    Args:
        layer: the layer.
        inputs: (groups, rows, in / groups * kernel size), from the quantized network so far.
        targets: (groups, rows, out / groups), what it gives in floating point, the bias included.
        activation: the clamp that alone reads the layer's output, if there is one.
    """

    layer: Layer
    inputs: Tensor
    targets: Tensor
    activation: Activation | None


@dataclass(frozen=True, slots=True)
class Done:
    """One layer's outcome; errors are mean squares over the variance of the output."""

    layer: str
    error_before: float
    error_after: float
    seconds: float


Fit = Callable[[Rows], Fitted]
"""Finds a layer's integers and bias from its rows."""


def reconstruct(
    network: Network,
    data: Batches,
    layers: Sequence[Layer],
    fit: Fit,
    look: Look,
    settings: Mapping[str, Any] | None = None,
) -> tuple[list[Done], int]:
    """Fit layers in the order of the network, in place.

    Args:
        network: with quantizers that have their ranges.
        data: inputs.
        layers: which to fit, in order; each has a quantizer.
        fit: finds a layer's integers and bias from its rows.
        look: at how much of the data.
        settings: of the fit, which tell one run from another.

    Returns:
        What came out, layer by layer, and how many samples there were.

    Raises:
        FileError: if the folder holds layers of another run, or cannot be written.
    """
    found = data if look.samples is None else first(data, look.samples)
    parts = KeptInputs(found)
    samples = parts.samples
    run = {**(settings or {}), "data": data.name, "samples": samples, "rows": look.rows, "seed": look.seed}
    kept = Kept(None if look.folder is None else Path(look.folder), fingerprint(network, run))
    wanted = _Wanted(network, parts, [layer for layer in layers if kept.read(layer.path) is None], look.rows)
    wanted.gather(look.seed)
    stages = Stages(network, parts, [layer.node for layer in layers], Store())
    done = []
    with Progress("reconstruct", total=len(layers)) as progress:
        for stage, layer in enumerate(layers):
            started = time.perf_counter()
            read = _read(stages, stage, layer, wanted)
            fitted = kept.read(layer.path)
            if fitted is None:
                fitted = fit(Rows(layer, torch.cat(read, 1), wanted.take(layer), _activation(network, layer)))
                kept.write(layer.path, fitted)
            _apply(network, layer, fitted)
            done.append(Done(layer.path, fitted.error_before, fitted.error_after, time.perf_counter() - started))
            progress.step(label=f"{layer.path}: error {fitted.error_before:.2%} → {fitted.error_after:.2%}")
    return done, samples


def _read(stages: Stages, stage: int, layer: Layer, wanted: "_Wanted") -> list[Tensor]:
    """The rows that a layer reads, batch by batch; none if nothing is wanted of it."""
    source, found = layer.node.all_input_nodes[0], []
    for number, values in stages.go_on(stage):
        positions = wanted.positions.get((layer.node, number))
        if positions is not None:
            found.append(input_rows(layer, values.value(source), positions))
    return found


def _apply(network: Network, layer: Layer, fitted: Fitted) -> None:
    assert layer.quantizer is not None
    layer.quantizer.hold(fitted.integers.to(layer.stored_weight.device))
    set_bias(network, layer, fitted.bias.to(layer.stored_weight))


def _activation(network: Network, layer: Layer) -> Activation | None:
    user = only_user(layer.node)
    return None if user is None else Activation.at(network.module, user)


class _Wanted:
    """What layers ought to give, at sampled places: from one pass in floating point, kept until it is taken."""

    def __init__(self, network: Network, parts: KeptInputs, layers: Sequence[Layer], rows: int) -> None:
        self.network = network
        self.parts = parts
        self.layers = {layer.node: layer for layer in layers}
        self.rows = rows
        self.positions: dict[tuple[Node, int], Tensor] = {}
        self.store = Store()

    def gather(self, seed: int) -> None:
        """Run every batch and keep the outputs at places chosen by a seed, whatever layers are wanted."""
        if not self.layers:
            return
        with unquantized(self.network):
            for number, inputs in enumerate(track(self.parts, "what layers ought to give")):

                def look(node: Node, value: Tensor, number: int = number) -> None:
                    layer = self.layers[node]
                    chooser = torch.Generator().manual_seed(seed + number)
                    sizes = output_sizes(layer, value.shape)
                    where = sample_positions(len(value), sizes, self._per_sample(layer), chooser)
                    self.positions[node, number] = where
                    self.store.put((node, number), output_rows(layer, value, where).contiguous())

                visit(self.network, inputs, self.layers, look)

    def _per_sample(self, layer: Layer) -> int:
        """How many places of each sample: fewer where many inputs are read at each."""
        width = layer.in_channels * layer.stored_weight.shape[2:].numel()
        return -(-min(self.rows, VALUES // width) // self.parts.samples)

    def take(self, layer: Layer) -> Tensor:
        """(groups, rows, out / groups): a layer's outputs, which are forgotten then."""
        keys = [(layer.node, number) for number in range(len(self.parts))]
        found = torch.cat([self.store.get(key) for key in keys], 1)
        for key in keys:
            self.store.drop(key)
        return found
