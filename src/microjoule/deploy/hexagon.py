"""Qualcomm's Hexagon tensor processor, whose Linux x86-64 package emulates it: the exported file, from end to end.

    pip install 'microjoule[hexagon]'
    mj.verify(quantized, "model.onnx", images, runtimes=["hexagon"])

The processor takes a network as a whole: it compiles it for one batch size and chooses itself what to fuse. To look at
a value inside it that value would have to be an output, and then other operators fuse. So only the network's outputs
are compared, computed from the inputs by both. Hexagon rounds a layer's results otherwise than the simulation,
and a value that is a step apart in the first layer moves others in the next: a departure here says how far the output
is, not which layer is at fault.

Nothing falls back to the CPU: a file with an operator that the processor lacks is refused.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch
from torch import Tensor
from torch.fx import Node
from torch.utils import _pytree as pytree

from microjoule.deploy.session import read_model, run_session
from microjoule.errors import ExportError, SettingError
from microjoule.execution.signature import samples_along
from microjoule.graph.network import Network
from microjoule.graph.ops import kind
from microjoule.numerics.affine import quantize

try:
    import onnxruntime_qnn
except ImportError:
    onnxruntime_qnn = None

PROVIDER = "QNNExecutionProvider"
NO_FALLBACK = "session.disable_cpu_ep_fallback"
FATAL_ALONE = 4
"""The severity below which ONNX Runtime logs nothing; its errors are exceptions as well."""


class Hexagon:
    """An exported file on the tensor processor, or on its emulator.

    Args:
        network: the quantized network that was exported.
        path: of the file.

    Raises:
        SettingError: if the extra is not installed.
        FileError: if the file is missing or damaged.
    """

    def __init__(self, network: Network, path: str | Path) -> None:
        devices()
        self.name = f"hexagon, onnxruntime-qnn {onnxruntime_qnn.__version__}"
        self.network, self.place = network, str(path)
        self.compared = f"{Path(path).name} on Hexagon against the simulation, from end to end"
        self.model = read_model(path)
        self.values = tuple(_quantized_output(network))
        self.sessions: dict[int, onnxruntime.InferenceSession] = {}

    def __call__(self, inputs: tuple[Any, ...]) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Run a batch; returns the integers of the first output where it is on a grid, and all outputs."""
        size = samples_along(inputs, self.network.batch_axis)
        if size not in self.sessions:
            self.sessions[size] = _open(self.model, self.place, size)
        outputs = [
            torch.from_numpy(array) for array in run_session(self.sessions[size], self.network.row(inputs), None)
        ]
        return {name: quantize(outputs[0], self.network.quantizers[name].affine) for name in self.values}, outputs


def devices() -> list[Any]:
    """The processors that ONNX Runtime's plugin offers.

    Raises:
        SettingError: if the plugin is not installed, or does not run on this machine.
    """
    if onnxruntime_qnn is None:
        raise SettingError(
            "hexagon",
            "onnxruntime-qnn is not installed",
            remedy="pip install 'microjoule[hexagon]' (Linux x86-64; Qualcomm's licence)",
        )
    if not _offered():
        onnxruntime.register_execution_provider_library(PROVIDER, onnxruntime_qnn.get_library_path())
    found = _offered()
    if not found:
        raise SettingError(
            "hexagon",
            f"onnxruntime-qnn {onnxruntime_qnn.__version__} offers no processor on this machine",
            remedy="verify on Linux x86-64, where the package emulates one",
        )
    return found


def _offered() -> list[Any]:
    return [device for device in onnxruntime.get_ep_devices() if device.ep_name == PROVIDER]


def _quantized_output(network: Network) -> Iterator[str]:
    """The quantizer that makes the first output, if one does."""
    first = next(leaf for leaf in pytree.tree_leaves(network.graph.output_node().args) if isinstance(leaf, Node))
    if kind(network.module, first) == "quantizer":
        yield str(first.target).removeprefix("quantizers.")


def _open(model: onnx.ModelProto, place: str, size: int) -> onnxruntime.InferenceSession:
    """A session for one batch size."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL_ALONE
    options.add_session_config_entry(NO_FALLBACK, "1")
    for entry in model.graph.input:
        for dimension in entry.type.tensor_type.shape.dim[:1]:
            if dimension.dim_param:
                options.add_free_dimension_override_by_name(dimension.dim_param, size)
    options.add_provider_for_devices(devices(), {"backend_path": onnxruntime_qnn.get_qnn_htp_path()})
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options)
    except Exception as error:  # its exceptions have no common class of their own
        raise ExportError(
            place,
            f"Hexagon does not take it: {str(error).splitlines()[0]}",
            remedy="quantize for the target qualcomm-htp; every operator must be one of its integer operators",
        ) from error
