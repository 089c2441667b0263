"""Layer-by-layer reconstruction: each layer is fitted to what it gave before the network was changed.

A layer of a quantized or compressed network reads inputs that differ from the original's, since the layers before it
are changed, too. Fitting what it makes of *those* to what it ought to give,

    minimise  E || y - (W x^ + b) ||^2,   y in the original in floating point, x^ from the changed network so far,

lets each layer make up for the errors before it. What is fitted and how is the caller's; here the rows x^ and y are
looked at, at sampled places of the output, in one pass through the network. Their moments tell all that there is to
know without an activation; the rows themselves are gathered only if they are asked for.

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

from microjoule.execution.allocator import EVERY, release
from microjoule.execution.batches import Batches, first, in_parts
from microjoule.execution.fitted import Fitted, read_fitted, write_fitted
from microjoule.execution.input_store import KeptInputs
from microjoule.execution.progress import Progress, track
from microjoule.execution.run import unquantized, visit
from microjoule.execution.stages import Stages
from microjoule.execution.store import Store
from microjoule.graph.activation import Activation
from microjoule.graph.edit import set_bias, set_weight
from microjoule.graph.modes import in_evaluation
from microjoule.graph.network import Network
from microjoule.graph.ops import Layer
from microjoule.graph.patches import input_rows, output_rows, output_sizes, sample_positions
from microjoule.graph.walk import only_user
from microjoule.jobs.identity import DataFacts, Identity, network_facts, option_facts
from microjoule.jobs.run_folder import RunFolder
from microjoule.numerics.affine import Affine
from microjoule.numerics.least_squares import Moments, RunningMoments

ROWS = 2**14
"""Places of a layer's output that are looked at, over all samples."""


VALUES = 2**26
"""Inputs of one layer that are gathered at most, over all rows: 256 MiB of float32."""

PART = 2**20
"""Values of the network's inputs that run at a time: seven images of 224 x 224 make some 40 MB after a wide layer."""


@dataclass(frozen=True, slots=True)
class Look:
    """How much of the data is looked at, and where layers that are done are kept.

    Args:
        samples: how many samples to use; None for all.
        rows: how many places of a layer's output at most, over all samples; at least one of each sample.
        seed: of the places.
        folder: keeps each layer as soon as it is fitted; a run that finds it goes on from there.
        whole: gather the rows themselves, too.
    """

    samples: int | None = None
    rows: int = ROWS
    seed: int = 0
    folder: str | Path | None = None
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Rows:
    """What a layer reads and ought to give.

    Args:
        layer: the layer.
        known: the moments of its rows: inputs (groups, rows, in / groups * kernel size) from the changed network so
            far, and outputs (groups, rows, out / groups) of the original in floating point, the bias included.
        activation: the clamp that alone reads the layer's output, if there is one.
        inputs: the rows themselves if `Look.whole`, else none of them.
        targets: the outputs, likewise.
    """

    layer: Layer
    known: Moments
    activation: Activation | None
    inputs: Tensor
    targets: Tensor


@dataclass(frozen=True, slots=True)
class Done:
    """One layer's outcome; errors are mean squares over the variance of the output."""

    layer: str
    error_before: float
    error_after: float
    seconds: float


Fit = Callable[[Rows], Fitted]
"""Finds a layer's weight and bias from its rows."""


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
        network: in floating point, or with quantizers that have their ranges.
        data: inputs.
        layers: which to fit, in order.
        fit: finds a layer's integers (or weight, where there is no quantizer) and bias from its rows.
        look: at how much of the data.
        settings: of the fit, which tell one run from another.

    Returns:
        What came out, layer by layer, and how many samples there were.

    Raises:
        FileError: if the folder holds layers of another run, or cannot be written.
    """
    release()
    facts = None if look.folder is None else DataFacts()
    parts = KeptInputs(in_parts(data if look.samples is None else first(data, look.samples), PART), facts)

    def identity() -> Identity:
        options = option_facts({**(settings or {}), "rows": look.rows, "seed": look.seed})
        return Identity.of(options, network_facts(network), {} if facts is None else facts.facts)

    with in_evaluation(network.module), RunFolder(look.folder, identity) as run:
        done = _fitted_in_order(network, parts, layers, fit, look, run)
    return done, parts.samples


def _fitted_in_order(
    network: Network, parts: KeptInputs, layers: Sequence[Layer], fit: Fit, look: Look, run: RunFolder
) -> list[Done]:
    """Fit those layers that the folder does not hold, each after all before it were changed."""
    known = {layer.path: fitted for layer in layers if (fitted := read_fitted(run, layer)) is not None}
    wanted = _Wanted(network, parts, [layer for layer in layers if layer.path not in known], look.rows)
    wanted.gather(look.seed)
    stages = Stages(network, parts, [layer.node for layer in layers], Store())
    done = []
    with Progress("reconstruct", total=len(layers)) as progress:
        for stage, layer in enumerate(layers):
            started = time.perf_counter()
            gathered = _read(stages, stage, layer, wanted, whole=look.whole)
            fitted = known.pop(layer.path, None)
            if fitted is None:
                fitted = fit(gathered.rows(layer, _activation(network, layer)))
                write_fitted(run, layer, fitted)
            del gathered
            release()
            _apply(network, layer, fitted)
            done.append(Done(layer.path, fitted.error_before, fitted.error_after, time.perf_counter() - started))
            progress.step(label=f"{layer.path}: error {fitted.error_before:.2%} → {fitted.error_after:.2%}")
    return done


def _read(stages: Stages, stage: int, layer: Layer, wanted: "_Wanted", *, whole: bool) -> "_Gathered":
    """What a layer reads and ought to give; nothing if nothing is wanted of it."""
    source, gathered = layer.node.all_input_nodes[0], _Gathered(wanted.count(layer), whole=whole)
    for number, values in stages.go_on(stage):
        positions = wanted.positions.get((layer.node, number))
        if positions is not None:
            gathered.add(input_rows(layer, values.value(source), positions), wanted.take(layer, number))
    return gathered


class _Gathered:
    """A layer's rows, batch by batch: their moments, and themselves if they are wanted.

    Args:
        count: of all rows.
        whole: whether the rows themselves are kept.
    """

    def __init__(self, count: int, *, whole: bool) -> None:
        self.sums = RunningMoments()
        self.count = count if whole else 0
        self.kept = torch.empty(0), torch.empty(0)
        self.filled = 0

    def add(self, inputs: Tensor, targets: Tensor) -> None:
        """Take in some rows."""
        self.sums.update(inputs, targets)
        if not self.count:
            return
        pair, end = (inputs, targets), self.filled + inputs.shape[1]
        if not self.filled:
            a, b = (part.new_empty(len(part), self.count, part.shape[2]) for part in pair)
            self.kept = a, b
        for kept, part in zip(self.kept, pair, strict=True):
            kept[:, self.filled : end] = part
        self.filled = end

    def rows(self, layer: Layer, activation: Activation | None) -> Rows:
        """All of it."""
        return Rows(layer, self.sums.moments(), activation, *self.kept)


def _apply(network: Network, layer: Layer, fitted: Fitted) -> None:
    set_bias(network, layer, fitted.bias.to(layer.stored_weight))
    if fitted.weight is not None:
        set_weight(layer, fitted.weight.to(layer.stored_weight))
        return
    assert layer.quantizer is not None
    assert fitted.integers is not None
    if fitted.scale is not None and fitted.zero_point is not None:
        scale, zero_point = (part.to(layer.stored_weight.device) for part in (fitted.scale, fitted.zero_point))
        layer.quantizer.set_affine(Affine(layer.quantizer.scheme, scale, zero_point))
    layer.quantizer.hold(fitted.integers.to(layer.stored_weight.device))


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
                if number % EVERY == EVERY - 1:
                    release()

    def _per_sample(self, layer: Layer) -> int:
        """How many places of each sample: fewer where many inputs are read at each."""
        width = layer.in_channels * layer.stored_weight.shape[2:].numel()
        return -(-min(self.rows, VALUES // width) // self.parts.samples)

    def count(self, layer: Layer) -> int:
        """How many places of a layer's output are looked at."""
        return sum(len(where) for (node, _), where in self.positions.items() if node is layer.node)

    def take(self, layer: Layer, number: int) -> Tensor:
        """(groups, rows, out / groups): a layer's outputs for a batch, which are forgotten then."""
        found: Tensor = self.store.get((layer.node, number))
        self.store.drop((layer.node, number))
        return found
