"""Gradients of each sample's loss by gates on the channels that layers read: what each channel matters to the loss.

A gate is a factor of 1 for a channel of a sample. With x_c the channel as a layer reads it, at all its places p,

    dL / dz_c  =  sum_p x_c[p] dL / dx_c[p]

The loss is the cross-entropy towards the class that the network itself finds likeliest, so that no labels are needed.

Source: Molchanov et al. 2017, https://arxiv.org/abs/1611.06440, section 2.2, for the sum; Theis et al. 2018,
https://arxiv.org/abs/1801.05787, section 2.2, for the gates.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import Interpreter, Node
from torch.nn.functional import cross_entropy
from torch.utils import _pytree as pytree

from microjoule.errors import MicrojouleError, SettingError
from microjoule.execution.batches import batches, first, in_parts
from microjoule.execution.fixed_batch import filled
from microjoule.execution.progress import track
from microjoule.execution.reconstruct import PART
from microjoule.execution.run import MISFITS, batch_step, misfit, to_device
from microjoule.execution.signature import samples_along
from microjoule.graph.network import Network
from microjoule.graph.ops import Layer
from microjoule.graph.shapes import shapes


def gate_gradients(
    network: Network, data: Any, layers: Sequence[Layer], *, samples: int | None = None
) -> dict[str, Tensor]:
    """The gradient of each sample's loss by a gate on each channel that some layers read; the network stays as it is.

    Where a layer is called twice its gates are the same in both calls.

    Args:
        network: in evaluation mode, with scores of classes (n, classes) as its only output.
        data: inputs, in any form that `batches` takes; labels are not read.
        layers: of that network.
        samples: how many samples to use; None for all.

    Returns:
        Layer path -> (samples, in_channels).

    Raises:
        SettingError: if the network gives something else, or a layer reads what has no axis of samples.
        DataError: if the data is empty, not finite, or does not fit.
    """
    found = first(batches(data, network), samples)
    example = batch_step(network)
    rows = {node: shape[0] // example for node, shape in shapes(network).items() if shape}
    parts: dict[str, list[Tensor]] = {layer.path: [] for layer in layers}
    for inputs, _ in track(in_parts(found, PART), "gradients of gates"):
        for path, gradients in _of_batch(network, to_device(inputs, network.device), layers, rows).items():
            parts[path].append(gradients)
    return {path: torch.cat(some) for path, some in parts.items()}


def _of_batch(
    network: Network, inputs: tuple[Any, ...], layers: Sequence[Layer], rows: Mapping[Node, int]
) -> dict[str, Tensor]:
    """As `gate_gradients`, of one batch; `rows` tells how many entries of each value's first axis a sample has."""
    gated, samples = _Gated(network, {layer.path for layer in layers}), samples_along(inputs, network.batch_axis)
    whole, fill = filled(network, inputs)
    try:
        with torch.enable_grad():
            outputs = gated.run(*network.row(whole))
            loss = own_loss(outputs if fill is None else fill.cut(outputs))
    except MicrojouleError:
        raise
    except MISFITS as error:
        raise misfit(network, inputs, error) from error
    gates = [gate for _, gate in gated.gates]
    gradients = torch.autograd.grad(loss, gates, allow_unused=True, materialize_grads=True)
    totals: dict[str, Tensor] = {}
    for (layer, _), gradient in zip(gated.gates, gradients, strict=True):
        of_all = samples if fill is None else fill.size
        each = _by_sample(gradient, of_all, rows[layer.node.all_input_nodes[0]], layer.path)[:samples]
        totals[layer.path] = totals[layer.path] + each if layer.path in totals else each
    return totals


def own_loss(outputs: Any) -> Tensor:
    """The cross-entropy towards the likeliest class of each sample, summed over samples; ().

    Args:
        outputs: of a network, one tensor (n, classes), alone or in tuples, lists or dicts.

    Raises:
        SettingError: if they are something else.
    """
    leaves = pytree.tree_leaves(outputs)
    shapes = [tuple(leaf.shape) for leaf in leaves if isinstance(leaf, Tensor)]
    if len(leaves) != 1 or len(shapes) != 1 or len(shapes[0]) != 2 or shapes[0][1] < 2:
        fact = f"needs scores of classes, (n, classes), and the network gives {shapes}"
        raise SettingError("criterion", fact, remedy='use one that needs no loss, such as "elimination"')
    (scores,) = leaves
    return cross_entropy(scores.double(), scores.detach().argmax(1), reduction="sum")


class _Gated(Interpreter):
    """Runs the graph with a gate on each channel that chosen layers read."""

    def __init__(self, network: Network, paths: Iterable[str]) -> None:
        super().__init__(network.module, garbage_collect_values=True)
        called = ((node, Layer.at(network.module, node)) for node in network.graph.nodes)
        chosen = set(paths)
        self.layers = {node: layer for node, layer in called if layer is not None and layer.path in chosen}
        self.gates: list[tuple[Layer, Tensor]] = []

    def run_node(self, n: Node) -> Any:
        """Run one node; a layer reads its input through a gate."""
        if n not in self.layers:
            return super().run_node(n)
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        return getattr(self, n.op)(n.target, (self._through(self.layers[n], args[0]), *args[1:]), kwargs)

    def _through(self, layer: Layer, x: Tensor) -> Tensor:
        gate = torch.ones(len(x), layer.in_channels, dtype=x.dtype, device=x.device, requires_grad=True)
        self.gates.append((layer, gate))
        axis = x.dim() - 1 if layer.kind == "linear" else 1
        return x * gate.reshape([len(x) if at == 0 else -1 if at == axis else 1 for at in range(x.dim())])


def _by_sample(gradient: Tensor, samples: int, rows: int, path: str) -> Tensor:
    """The sum over a sample's entries, (samples, channels), where a layer reads several of each, as windows are."""
    if len(gradient) != samples * rows:
        fact = f"needs samples along the first axis of what {path} reads, where there are {len(gradient)} of {samples}"
        raise SettingError("criterion", fact, remedy='use one that needs no loss, such as "elimination"')
    each: Tensor = gradient.unflatten(0, (samples, rows))
    return each.sum(1)
