"""A network as an ONNX graph in floating point, with a mark wherever the network has a quantizer.

The marks are operators of a domain of our own. torch's exporter carries them along and optimizes nothing across them,
so that they can be replaced by integers afterwards, when everything around them is known.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import onnx_ir as ir
import torch
from torch import Tensor, nn
from torch.export import Dim

from microjoule.deploy.activation_bounds import Bounds, clamp_before, integer_bounds
from microjoule.errors import ExportError
from microjoule.graph.contract import Input
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
    free = [_free(one) for one in network.contract.inputs]
    row = tuple(_widened(tensor, axes) for tensor, axes in zip(network.example.tensors, free, strict=True))
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                network.module,
                row,
                dynamo=True,
                dynamic_shapes=tuple(dict.fromkeys(axes, Dim.AUTO) for axes in free) if any(free) else None,
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


def _free(taken: Input) -> list[int]:
    """The dimensions of an input that are free."""
    return [axis for axis, dim in enumerate(taken.dims) if not isinstance(dim, int)]


def _widened(tensor: Tensor, axes: Sequence[int]) -> Tensor:
    """Two entries along a free dimension that has one: torch takes a size of 1 for a constant."""
    for axis in axes:
        if tensor.shape[axis] == 1:
            tensor = torch.cat([tensor, tensor], axis)
    return tensor


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
