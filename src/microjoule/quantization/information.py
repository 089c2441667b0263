"""What a value's errors cost the network: the Fisher information of its channels."""

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor
from torch.fx import Interpreter, Node

from microjoule.execution.batches import Batches
from microjoule.execution.fixed_batch import filled
from microjoule.execution.progress import track
from microjoule.execution.run import to_device, unquantized
from microjoule.graph.modes import in_evaluation
from microjoule.graph.network import Network
from microjoule.numerics.divergence import are_probabilities
from microjoule.quantization.fisher import drawn_loss, drawn_signs
from microjoule.quantization.sensitivity import output_tensors


def channel_information(
    network: Network, data: Batches, nodes: Collection[Node], *, seed: int = 0
) -> dict[Node, Tensor]:
    """E[(dL/dx)^2] of each channel of some values, in floating point; 1 on average.

    L is -log p of a class drawn from the network's own p, or the outputs with random signs where they are no classes.

    Args:
        network: it runs in floating point, whatever its quantizers are set to.
        data: inputs; labels are not read.
        nodes: whose values are asked for.
        seed: of the draws.

    Returns:
        For each node (channels,): of dimension 1, or the last one if there are two; ones where no gradient comes.
    """
    generator = torch.Generator().manual_seed(seed)
    sums: dict[Node, Tensor] = {}
    with in_evaluation(network.module), unquantized(network):
        for inputs, _ in track(data, "gradients", total=data.samples):
            seen = _Watching(network, nodes)
            whole, _ = filled(network, to_device(inputs, network.device))
            outputs = output_tensors(seen.run(*network.row(whole)))
            loss, values = _loss(outputs, generator), list(seen.values.values())
            for node, gradient in zip(seen.values, torch.autograd.grad(loss, values, allow_unused=True), strict=True):
                if gradient is not None:
                    per_channel = gradient.double().square().movedim(1, 0).flatten(1).mean(1)
                    sums[node] = sums.get(node, torch.zeros_like(per_channel)) + per_channel
    return {node: (total / total.mean()).float() for node, total in sums.items() if bool(total.sum() > 0)}


def _loss(outputs: tuple[Tensor, ...], generator: torch.Generator) -> Tensor:
    if len(outputs) == 1 and outputs[0].dim() == 2:
        return drawn_loss(outputs[0], normalized=are_probabilities(outputs[0]), generator=generator)
    return torch.stack([drawn_signs(output, generator) for output in outputs]).sum()


class _Watching(Interpreter):
    """Runs a graph with gradients, and keeps those of chosen values."""

    def __init__(self, network: Network, nodes: Collection[Node]) -> None:
        super().__init__(network.module, garbage_collect_values=True)
        self.nodes = set(nodes)
        self.values: dict[Node, Tensor] = {}

    def run_node(self, n: Node) -> Any:
        """Run one node; a value that is asked for has a gradient."""
        result = super().run_node(n)
        if n in self.nodes and isinstance(result, Tensor):
            if not result.requires_grad:
                result = result.detach().requires_grad_()
            self.values[n] = result
        return result
