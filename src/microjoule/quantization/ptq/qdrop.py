"""QDrop: learn a block's roundings and activation scales together, with activations quantized only half of the time.

What single layers lose adds up in a block, or cancels: so a block's weights are rounded for the block's output,

    minimise over V, s   sum_c g_c E (y_c - f(x~; W~(V), s))_c^2  +  lambda sum (1 - |2 h(V) - 1|^beta),

where W~(V) is between floor and ceil as in AdaRound, s are the scales of the block's activations, and g_c, the mean of
(dL/dy_c)^2, is the Fisher information of the block's output channels: what matters to the network's own loss counts.

With few bits, roundings learned for quantized activations fit just those. QDrop replaces each element of the block's
input, and of each activation in it, by its value in floating point with a probability of one half, at each iteration
anew: what is learned then holds for a neighbourhood of the inputs, and the loss is flatter.

Source: Wei et al. 2022, QDrop, https://arxiv.org/abs/2203.05740, sections 3.3 and 4.1; the block and its loss: Li et
al. 2021, BRECQ, https://arxiv.org/abs/2102.05426, equation 10.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from microjoule.errors import GraphError, SettingError
from microjoule.execution.batches import Batches, batches, first
from microjoule.execution.device import Device, beside, move, returns
from microjoule.execution.input_store import KeptInputs
from microjoule.execution.reconstruct_blocks import BlockData, reconstruct_blocks
from microjoule.graph.blocks import Block, blocks
from microjoule.graph.network import Network, no_quantized_weight, takes_network
from microjoule.graph.ops import Layer
from microjoule.graph.quantizer import Quantizer
from microjoule.graph.walk import is_private
from microjoule.jobs.identity import DataFacts, Identity, network_facts, option_facts
from microjoule.jobs.run_folder import RunFolder
from microjoule.quantization.block_parameters import Rounding, Scale, finished, optimizer, read_block, restore
from microjoule.quantization.fixed_grids import fixed_quantizers
from microjoule.quantization.information import channel_information
from microjoule.quantization.range_setting import quantizer_nodes
from microjoule.quantization.soft_rounding import beta_at
from microjoule.records.facts import LayerReconstructed, Reconstructed, Skipped

REGULARIZER = 1.0
"""lambda, with the loss before as the unit of the loss and the mean over a block's weights as that of the penalty."""

BATCH = 16
"""Samples of one iteration."""

# The equations --------------------------------------------------------------------------------------------------------


def round_through(x: Tensor) -> Tensor:
    """The nearest integers, with the slope of a straight line.

    Args:
        x: any shape.
    """
    return x + (x.round() - x).detach()


def learned_quantize(x: Tensor, scale: Tensor, low: float, high: float) -> Tensor:
    """s clip(round(x / s), n, p), with slopes for x and for s.

    Args:
        x: any shape.
        scale: (), > 0.
        low: the smallest integer, zero point taken out.
        high: the largest.
    """
    return round_through(x / scale).clamp(low, high) * scale


def dropped(quantized: Tensor, exact: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Each element in floating point with a probability, else quantized.

    Args:
        quantized: any shape.
        exact: the same shape.
        share: the probability.
        generator: chooses.
    """
    if share == 0:
        return quantized
    keep = torch.rand(quantized.shape, generator=generator) < share
    return torch.where(keep.to(quantized.device), exact, quantized)


@contextlib.contextmanager
def _instead(scales: list[Scale], share: float, generator: torch.Generator) -> Iterator[None]:
    """Activations are quantized with the scales that are being learned."""
    with contextlib.ExitStack() as stack:
        for scale in scales:

            def give(_module: nn.Module, inputs: tuple[Tensor], _output: Tensor, scale: Scale = scale) -> Tensor:
                learned = learned_quantize(inputs[0], scale.logarithm.exp(), scale.low, scale.high)
                return dropped(learned, inputs[0], share, generator)

            scale.quantizer.enabled = False
            stack.enter_context(scale.quantizer.register_forward_hook(give))
        try:
            yield
        finally:
            for scale in scales:
                scale.quantizer.enabled = True


# Applying it ----------------------------------------------------------------------------------------------------------


@takes_network
@returns
def qdrop(
    network: Network,
    data: Any,
    *,
    iterations: int = 500,
    drop: float = 0.5,
    exact: Network | None = None,
    samples: int | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    device: Device = None,
) -> Reconstructed:
    """Learn roundings, activation scales and biases block by block, in place.

    Where weights are rounded for good already (`gptq`, `adaround`), learning starts from there. Scales move: call
    `avoid_ties` after, if simulation and runtimes shall have the same integers.

    Args:
        network: a network with quantizers that have their ranges.
        data: inputs, in any form that `batches` takes; labels are not read.
        iterations: for each block.
        drop: the probability that an activation is not quantized; 0 quantizes all, as BRECQ does.
        exact: the same graph as it was before biases were changed; None takes this network without its quantizers,
            which is right if no method before this one fitted biases.
        samples: how many samples to use; None for all.
        seed: of the batches and of what is dropped.
        folder: keeps each block as soon as it is learned; the same call then goes on where it was interrupted.
        device: where it runs, such as "cuda"; None for where the network is, and where it is afterwards.

    Returns:
        Each block's error before and after.

    Raises:
        GraphError: if no weight is quantized, or the network is no chain of blocks.
        SettingError: for less than one iteration, or a probability outside 0 to 1.
        DataError: if the data is empty, not finite, or does not fit.
        FileError: if the folder holds the work of another run, or cannot be written.
    """
    move(network, device)
    chain = _chain(network, iterations, drop)
    facts = None if folder is None else DataFacts()
    inputs = KeptInputs(first(batches(data, network, batch_size=BATCH), samples), facts)
    found = inputs.batches()
    ideal = network.copy() if exact is None else beside(exact, network)
    weights, chosen = _informed(ideal, chain, found, seed), _chosen(network, chain)

    def identity() -> Identity:
        options = option_facts({"iterations": iterations, "drop": drop, "seed": seed})
        whole = network_facts(network), network_facts(ideal, "the network in floating point")
        return Identity.of(options, *whole, {} if facts is None else facts.facts)

    def train(part: BlockData) -> None:
        layers = [chosen[path] for path in part.block.layers if path in chosen]
        generator = torch.Generator().manual_seed(seed)
        _train(run, part, layers, _own_quantizers(network, part), weights[part.block], (iterations, drop, generator))

    with RunFolder(folder, identity) as run:
        done, count = reconstruct_blocks(network, ideal, found, train)
    skipped = _skipped(layer.path for layer in network.layers if layer.path not in chosen)
    layers = tuple(LayerReconstructed(one.layer, one.error_before, one.error_after, one.seconds) for one in done)
    network.history.append(record := Reconstructed("QDrop", found.name, count, seed, layers, skipped))
    return record


def _train(
    run: RunFolder,
    part: BlockData,
    layers: Sequence[Layer],
    quantizers: Sequence[Quantizer],
    weights: Tensor | None,
    how: tuple[int, float, torch.Generator],
) -> None:
    """Learn a block, or take what was learned of it before."""
    roundings, scales = [Rounding(layer) for layer in layers], [Scale(quantizer) for quantizer in quantizers]
    known = read_block(run, part.block.exit.name, roundings, scales)
    if known is not None:
        restore(roundings, scales, known)
        return
    _learn(part, roundings, scales, weights, how)
    run.write(part.block.exit.name, finished(roundings, scales))


def _skipped(paths: Iterable[str]) -> tuple[Skipped, ...]:
    return tuple(Skipped(path, "not quantized, used more than once, or in no block") for path in paths)


def _chosen(network: Network, chain: Sequence[Block]) -> dict[str, Layer]:
    """The layers of some blocks that can learn, by path."""
    reached = {path for block in chain for path in block.layers}
    return {layer.path: layer for layer in network.layers if layer.path in reached and _can_learn(network, layer)}


def _informed(ideal: Network, chain: Sequence[Block], found: Batches, seed: int) -> dict[Block, Tensor | None]:
    """What each block's outputs weigh."""
    same = blocks(ideal)
    information = channel_information(ideal, found, [block.exit for block in same], seed=seed)
    return dict(zip(chain, (information.get(block.exit) for block in same), strict=True))


def _chain(network: Network, iterations: int, drop: float) -> list[Block]:
    """The blocks of a network that can be learned, with settings that there can be."""
    if iterations < 1:
        raise SettingError("iterations", f"is {iterations}", remedy="give at least 1")
    if not 0 <= drop < 1:
        raise SettingError("drop", f"is {drop}", remedy="give at least 0 and less than 1, such as 0.5")
    if not any(layer.quantizer for layer in network.layers):
        raise no_quantized_weight(network)
    chain = blocks(network)
    if not chain:
        raise GraphError("network", "is no chain of blocks", remedy="use mj.adaround, which goes layer by layer")
    return chain


def _can_learn(network: Network, layer: Layer) -> bool:
    return layer.quantizer is not None and is_private(network, layer)


def _own_quantizers(network: Network, part: BlockData) -> list[Quantizer]:
    """The activation quantizers that stand in this block alone, with one scale that is known and may change."""
    calls = [node for node in network.graph.nodes if node.op == "call_module"]
    where = {node: network.module.get_submodule(str(node.target)) for node in calls}
    fixed = fixed_quantizers(network, quantizer_nodes(network))
    inside = {where[node] for node in part.block.nodes if node in where} - fixed
    outside = {where[node] for node in calls if node not in part.block.nodes}
    own = [module for module in inside - outside if isinstance(module, Quantizer)]
    usable = [module for module in own if module.enabled and module.calibrated and module.affine.scale.dim() == 0]
    return sorted(usable, key=list(where.values()).index)


def _learn(
    part: BlockData,
    roundings: list[Rounding],
    scales: list[Scale],
    information: Tensor | None,
    how: tuple[int, float, torch.Generator],
) -> None:
    """Adam on V, scales and biases of one block."""
    iterations, drop, generator = how
    adam = optimizer(roundings, scales)
    learned = [one for group in adam.param_groups for one in group["params"] if one.requires_grad]
    unit: Tensor | None = None
    for iteration in range(iterations):
        number = int(torch.randint(part.batches, (), generator=generator))
        inputs = dropped(part.given(number), part.exact(number), drop, generator)
        h = [rounding.apply() for rounding in roundings]
        with _instead(scales, drop, generator):
            outputs = part.outputs(inputs)
        loss = torch.stack([_lost(*pair, information) for pair in zip(outputs, part.wanted(number), strict=True)]).sum()
        unit = loss.detach().clamp(min=torch.finfo(loss.dtype).tiny) if unit is None else unit
        beta = beta_at(iteration / iterations)
        total = loss / unit
        if beta is not None and h:
            total = total + REGULARIZER * torch.cat([1 - (2 * part - 1).abs().pow(beta).flatten() for part in h]).mean()
        for one, gradient in zip(learned, torch.autograd.grad(total, learned, allow_unused=True), strict=True):
            one.grad = gradient
        adam.step()
    adam.zero_grad()


def _lost(made: Tensor, ought: Tensor, information: Tensor | None) -> Tensor:
    """E of the squared error, channels by their information."""
    error = (made - ought).square()
    if information is None or made.dim() < 2:
        return error.mean()
    return (error.movedim(1, -1) * information).mean()
