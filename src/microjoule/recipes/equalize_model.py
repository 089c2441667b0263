"""Equalization alone, on a plain module, for people who have a pipeline of their own."""

from typing import Any

from torch import nn
from torch.fx import GraphModule

from microjoule.capture.export import capture
from microjoule.graph.callable import as_module
from microjoule.graph.fold import fold_batch_norms
from microjoule.quantization.ptq.constant_channels import fold_constant_channels
from microjoule.quantization.ptq.equalization import equalize


def equalize_model(model: nn.Module, example_inputs: Any) -> GraphModule:
    """Give the layers of a model even ranges: fold batch norms and constant channels, then equalize across layers.

    Every step is exact in floating point, so the model that comes back gives the same outputs as the one that went in;
    only its weights are now such that one scale a tensor suits them.

    Args:
        model: any module that torch.export can trace; it is left alone.
        example_inputs: a tensor, or a tuple of positional inputs.

    Returns:
        An ordinary module in evaluation mode, with the layers at their original paths, ready for any quantizer.

    Raises:
        CaptureError: if the model cannot be traced.
    """
    network = capture(model, example_inputs)
    fold_batch_norms(network)
    fold_constant_channels(network)
    equalize(network)
    return as_module(network)
