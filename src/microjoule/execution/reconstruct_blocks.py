"""Block-by-block reconstruction: a part of a network is trained to give what it gave in floating point.

What single layers lose adds up, or cancels; a block's output tells. Each block reads what the quantized blocks before
it give, beside what they give in floating point; training it is the caller's.

Source: Li et al. 2021, BRECQ, https://arxiv.org/abs/2102.05426, section 3.2.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node
from torch.utils import _pytree as pytree

from microjoule.execution.batches import Batches
from microjoule.execution.progress import Progress
from microjoule.execution.reconstruct import Done
from microjoule.execution.run import unquantized, visit
from microjoule.execution.store import Store
from microjoule.graph.blocks import Block, as_module, blocks
from microjoule.graph.modes import in_evaluation
from microjoule.graph.network import Network


@dataclass(frozen=True, slots=True)
class BlockData:
    """A block and what goes in and out of it, batch by batch.

    Args:
        block: the block.
        module: it runs the block with the network's own layers and quantizers.
        batches: how many batches there are.
        exact: number of a batch -> (samples, ...), its input in floating point.
        given: number of a batch -> (samples, ...), its input from the quantized blocks before.
        made: number of a batch -> what it gives in floating point.
    """

    block: Block
    module: nn.Module
    batches: int
    exact: Callable[[int], Tensor]
    given: Callable[[int], Tensor]
    made: Callable[[int], Any]

    def wanted(self, number: int) -> list[Tensor]:
        """What the block gives in floating point, a tensor for each output.

        Args:
            number: of a batch.
        """
        return tensors(self.made(number))

    def outputs(self, inputs: Tensor) -> list[Tensor]:
        """What the block gives now, a tensor for each output.

        Args:
            inputs: (samples, ...).
        """
        return tensors(self.module(inputs))

    def error(self) -> float:
        """Mean squared error of the outputs over their mean square, as the block is now."""
        lost, power = 0.0, 0.0
        with torch.no_grad():
            for number in range(self.batches):
                for made, ought in zip(self.outputs(self.given(number)), self.wanted(number), strict=True):
                    lost += (made - ought).double().square().sum().item()
                    power += ought.double().square().sum().item()
        return lost / power if power else 0.0


def tensors(outputs: object) -> list[Tensor]:
    """The floating-point tensors among outputs."""
    return [leaf for leaf in pytree.tree_leaves(outputs) if isinstance(leaf, Tensor) and leaf.is_floating_point()]


def reconstruct_blocks(
    network: Network, exact: Network, data: Batches, train: Callable[[BlockData], None]
) -> tuple[list[Done], int]:
    """Train blocks in the order of the network, in place.

    Args:
        network: with quantizers that have their ranges.
        exact: the same graph, which tells what to give; its quantizers are left out.
        data: inputs.
        train: changes what a block's layers and quantizers hold.

    Returns:
        What came out, block by block (named by its layers), and how many samples there were.
    """
    chain, ideal, done = blocks(network), blocks(exact), []
    modes = in_evaluation(network.module), in_evaluation(exact.module)
    with modes[0], modes[1], Progress("reconstruct", total=len(chain)) as progress:
        inputs, given, samples = _entries(network, exact, data)
        for block, model in zip(chain, ideal, strict=True):
            started, module = time.perf_counter(), as_module(network, block)
            with unquantized(exact):
                wanted = _through(as_module(exact, model), inputs)
            part = BlockData(block, module, len(inputs), inputs.get, given.get, wanted.get)
            before = part.error()
            train(part)
            after = part.error()
            done.append(Done(", ".join(block.layers), before, after, time.perf_counter() - started))
            progress.step(label=f"{block.layers[0]} …: error {before:.2%} → {after:.2%}")
            inputs, given = wanted, given if block is chain[-1] else _through(module, given)
    return done, samples


def _entries(network: Network, exact: Network, data: Batches) -> tuple[Store, Store, int]:
    """The first block's inputs, in floating point and quantized, and how many samples there are."""
    found, given, samples = Store(), Store(), 0
    for number, (inputs, _) in enumerate(data):
        with unquantized(exact):
            _keep(exact, inputs, found, number)
        _keep(network, inputs, given, number)
        samples += data.count(inputs)
    return found, given, samples


def _keep(network: Network, inputs: tuple[Any, ...], store: Store, number: int) -> None:
    """Put what goes into the first block for one batch into a store."""

    def look(_node: Node, value: Tensor) -> None:
        store.put(number, value)

    visit(network, inputs, [blocks(network)[0].entry], look)


def _through(module: nn.Module, values: Store) -> Store:
    """What a block gives for every batch."""
    made = Store()
    with torch.no_grad():
        for number in range(len(values)):
            made.put(number, module(values.get(number)))
    return made
