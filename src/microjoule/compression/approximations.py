"""What low-rank forms of a network's layers would cost and lose, at every rank, before anything is changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from torch import Tensor

from microjoule.graph.factor import unfit
from microjoule.graph.network import Network
from microjoule.graph.ops import Layer
from microjoule.graph.shapes import Shape, shapes
from microjoule.numerics.least_squares import Moments, trusted
from microjoule.numerics.low_rank import errors
from microjoule.numerics.low_rank_shapes import METHODS, Method, factor_macs, factor_shapes, full_rank, layer_macs


@dataclass(frozen=True, slots=True)
class Sizes:
    """The places of a layer's input and output, without samples and channels."""

    inputs: Shape
    outputs: Shape


@dataclass(frozen=True, slots=True)
class Curve:
    """A layer in one form, at every rank.

    Args:
        method: the form.
        errors: (full rank + 1,), float64, as `numerics.low_rank.errors`: of the weight, or of the output.
        total: what the relative error is relative to, the error of rank 0: the weight's sum of squares, or the output's
            variance.
        macs: for one sample; those of rank r at r.
        parameters: of the weights, likewise.
        layer_macs: of the layer as it is.
    """

    method: Method
    errors: Tensor
    total: float
    macs: tuple[int, ...]
    parameters: tuple[int, ...]
    layer_macs: int


def layer_sizes(network: Network, layers: Sequence[Layer]) -> dict[str, Sizes]:
    """The sizes of layers' inputs and outputs for the network's example, by path."""
    found = call_sizes(network)
    return {layer.path: found[layer.path][0] for layer in layers}


def call_sizes(network: Network) -> dict[str, tuple[Sizes, ...]]:
    """The sizes of what each layer reads and gives, for each time that it is called, by path."""
    known, found = shapes(network), dict[str, tuple[Sizes, ...]]()
    for node in network.graph.nodes:
        layer = Layer.at(network.module, node)
        if layer is not None:
            sizes = _sizes(layer, known[node.all_input_nodes[0]], known[node])
            found[layer.path] = (*found.get(layer.path, ()), sizes)
    return found


def _sizes(layer: Layer, read: Shape, given: Shape) -> Sizes:
    if layer.kind == "linear":
        return Sizes(given[1:-1], given[1:-1])
    axes = layer.stored_weight.dim() - 2
    return Sizes(read[-axes:], given[-axes:])


def form(layer: Layer, method: Method) -> Method:
    """The form that a layer takes: where its kernel has one tap, all forms of two factors are the same, `output`."""
    return "output" if layer.stored_weight.shape[2:].numel() == 1 else method


def usable_forms(network: Network, layer: Layer, methods: Sequence[Method]) -> list[Method]:
    """The forms that a layer can have, each once.

    Args:
        network: the network that the layer is in.
        layer: one that is not `unfit` for all of them.
        methods: what is asked for.
    """
    forms = dict.fromkeys(form(layer, method) for method in methods)
    return [one for one in forms if unfit(network, layer, one) is None]


def curve(layer: Layer, method: Method, sizes: Sizes, known: Moments | None = None) -> Curve:
    """A layer in one form, at every rank.

    Args:
        layer: the layer, of one group.
        method: the form, as `form` gives it.
        sizes: of its input and output.
        known: moments of what it reads and gives, so that the error is that of the output, as far as so many
            rows tell; None for the weight's.

    Raises:
        SettingError: for a form that the layer cannot have.
    """
    weight = layer.stored_weight.detach()
    shape, ranks = tuple(weight.shape), range(1, full_rank(tuple(weight.shape), method) + 1)
    found = errors(weight, method, None if known is None else trusted(known)[0])
    return Curve(
        method=method,
        errors=found,
        total=float(found[0]),
        macs=(0, *(factor_macs(shape, method, rank, sizes.inputs, sizes.outputs) for rank in ranks)),
        parameters=(0, *(sum(map(prod, factor_shapes(shape, method, rank))) for rank in ranks)),
        layer_macs=layer_macs(shape, sizes.outputs),
    )


def approximations(
    network: Network,
    *,
    layers: Sequence[Layer] | None = None,
    methods: Sequence[Method] = METHODS,
    known: Mapping[str, Moments] | None = None,
) -> dict[str, dict[Method, Curve]]:
    """What each form of each layer would cost and lose, at every rank.

    Args:
        network: in floating point.
        layers: of that network; None for all. Those that cannot be replaced are left out.
        methods: the forms; those that a layer cannot have, and repetitions where it has one tap, are left out.
        known: moments of what layers read, by path, from `execution.moments.input_moments`; None for data-free.

    Returns:
        Layer path -> form -> what it costs and loses.
    """
    chosen = [layer for layer in layers or network.layers if unfit(network, layer) is None]
    sizes = layer_sizes(network, chosen)
    found: dict[str, dict[Method, Curve]] = {}
    for layer in chosen:
        found[layer.path] = {
            one: curve(layer, one, sizes[layer.path], None if known is None else known[layer.path])
            for one in usable_forms(network, layer, methods)
        }
    return found
