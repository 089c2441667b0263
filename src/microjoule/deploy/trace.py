"""A network as an ONNX graph in floating point, with a mark wherever the network has a quantizer.

The marks are operators of a domain of our own. torch's exporter carries them along and optimizes nothing across them,
so that they can be replaced by integers afterwards, when everything around them is known.
"""

import inspect
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.utils import _pytree as pytree

from microjoule.deploy.activation_bounds import Bounds, clamp_before, integer_bounds
from microjoule.errors import ExportError
from microjoule.graph.network import Network, set_submodule
from microjoule.graph.ops import kind
from microjoule.graph.quantizer import Quantizer

DOMAIN = "microjoule"
VALUE = "Value"
WEIGHT = "Weight"
OPSET = 21
"""The first opset with 16-bit integers in QuantizeLinear."""


class Mark(nn.Module):
    """Stands where a quantizer stood.

    Args:
        what: VALUE or WEIGHT.
        name: of the value, or the path of the layer.
    """

    def __init__(self, what: str, name: str) -> None:
        super().__init__()
        self.what = what
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        """The same tensor, marked.

        Args:
            x: any shape.
        """
        return torch.onnx.ops.symbolic(
            f"{DOMAIN}::{self.what}", [x], {"name": self.name}, dtype=x.dtype, shape=x.shape, version=1
        )


def trace(network: Network) -> tuple[ir.Model, dict[str, Bounds | None]]:
    """The marked graph, and for each quantized value the bounds of a clamp that was taken into its integers.

    Raises:
        ExportError: for a quantizer without a range, or an operator that ONNX has no words for.
    """
    copy = network.copy().to("cpu").eval()
    _check_calibrated(copy)
    bounds = _absorb_clamps(copy)
    for layer in copy.layers:
        if layer.quantizer is not None:
            chain = layer.owner.get_submodule(f"parametrizations.{layer.weight_name}")
            assert isinstance(chain, nn.ModuleList)
            chain[0] = Mark(WEIGHT, layer.path)
    for name in copy.quantizers:
        set_submodule(copy.module, f"quantizers.{name}", Mark(VALUE, name))
    copy.module.recompile()
    return _export(copy), bounds


def _check_calibrated(network: Network) -> None:
    missing = [name for name, quantizer in network.quantizers.items() if not quantizer.calibrated]
    missing += [
        layer.path for layer in network.layers if layer.quantizer is not None and not layer.quantizer.calibrated
    ]
    if missing:
        raise ExportError(
            ", ".join(missing[:5]),
            f"{len(missing)} quantizers have no range yet",
            remedy="calibrate the network first (mj.calibrate)",
        )


def _absorb_clamps(network: Network) -> dict[str, Bounds | None]:
    """Take every clamp that only a quantizer reads out of the graph."""
    found: dict[str, Bounds | None] = {}
    for node in list(network.graph.nodes):
        if kind(network.module, node) != "quantizer":
            continue
        name = str(node.target).removeprefix("quantizers.")
        quantizer = network.module.get_submodule(str(node.target))
        assert isinstance(quantizer, Quantizer)
        found[name] = None
        activation = clamp_before(network, node)
        if activation is not None and quantizer.affine.scale.dim() == 0:
            found[name] = integer_bounds(activation.low, activation.high, quantizer.affine)
            node.replace_input_with(node.all_input_nodes[0], node.all_input_nodes[0].args[0])
    network.recompile()
    return found


def _export(network: Network) -> ir.Model:
    args, kwargs = network.example.args, network.example.kwargs
    shapes = None
    if network.dynamic_batch:
        args, kwargs = pytree.tree_map_only(Tensor, _widened, (args, kwargs))
        shapes = _dynamic_shapes(network.module, args, kwargs)
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                network.module,
                args,
                kwargs=kwargs,
                dynamo=True,
                dynamic_shapes=shapes,
                opset_version=OPSET,
                verbose=False,
            )
    except Exception as error:
        reason = next((line for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
        raise ExportError(
            "network",
            f"cannot be written as ONNX: {reason.strip()}",
            remedy="replace the operator that is named there, or write the network with network.save(path)",
        ) from error
    assert program is not None
    return program.model


def _widened(tensor: Tensor) -> Tensor:
    """Two samples where there is one: torch takes a size of 1 for a constant."""
    one = tensor.dim() > 0 and tensor.shape[0] == 1
    return tensor.repeat(2, *[1] * (tensor.dim() - 1)) if one else tensor


def _dynamic_shapes(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    size = next(leaf.shape[0] for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor) and leaf.dim())

    def spec(leaf: Any) -> dict[int, Any] | None:
        return {0: Dim.AUTO} if isinstance(leaf, Tensor) and leaf.dim() > 0 and leaf.shape[0] == size else None

    bound = inspect.signature(module.forward).bind(*args, **kwargs).arguments
    return {name: pytree.tree_map(spec, value) for name, value in bound.items()}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch's exporter says about itself: its deprecated functions, and that torchvision is missing."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
