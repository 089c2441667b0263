"""The model that is captured: what can be one, and how it is run and left as it was."""

import copy
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from microjoule.capture.signature import Call, output_of
from microjoule.errors import CaptureError
from microjoule.graph.nest import filled

WRAPPERS: tuple[tuple[type[nn.Module], str], ...] = (
    (nn.DataParallel, "module"),
    (nn.parallel.DistributedDataParallel, "module"),
    (torch._dynamo.eval_frame.OptimizedModule, "_orig_mod"),
)
"""Modules that run another one as it is, and where they hold it."""

INNER = ("pack_padded_sequence", "it packs sequences by their lengths, which are values")
"""A function of torch that cannot be traced, and why, where torch's own words would not tell."""


def accepted(module: Any) -> nn.Module:
    """A model that can be looked at, out of what wraps it.

    Raises:
        CaptureError: if it is none, or its tensors are not ordinary ones.
    """
    for wrapper, name in WRAPPERS:
        if isinstance(module, wrapper):
            return accepted(getattr(module, name))
    if not isinstance(module, nn.Module):
        raise CaptureError(type(module).__name__, "is no nn.Module", remedy="pass the model itself, with its weights")
    if any(isinstance(one, torch.jit.ScriptModule) for one in module.modules()):
        raise CaptureError(
            type(module).__name__,
            "is scripted or traced by TorchScript, which torch.export cannot read",
            remedy="pass the model from which it was made",
        )
    for name, one in module.named_modules():
        if ".quantized" in type(one).__module__:
            fact = f"is a {type(one).__name__}, which computes with integers already"
            raise CaptureError(name or type(module).__name__, fact, remedy="capture the model in floating point")
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        _check_stored(name, tensor)
    return _ordinary(module)


def _ordinary(module: nn.Module) -> nn.Module:
    """The model itself; a copy without what only torch.inference_mode reads, if it was made there."""
    if not any(tensor.is_inference() for tensor in (*module.parameters(), *module.buffers())):
        return module
    with torch.inference_mode(mode=False):
        made = copy.deepcopy(module)
        known: dict[int, Tensor] = {}
        for one in made.modules():
            for held in (one._parameters, one._buffers):
                for name, tensor in held.items():
                    if tensor is not None:
                        held[name] = known.setdefault(id(tensor), _plain(tensor))  # type: ignore[assignment]
        return made


def _plain(tensor: Tensor) -> Tensor:
    plain = tensor.clone()
    return nn.Parameter(plain, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else plain


def _check_stored(name: str, tensor: Tensor) -> None:
    remedy = "load weights that are whole"
    if is_lazy(tensor):
        raise CaptureError(name, "has no values yet", remedy="run the model once, load its weights, then capture it")
    if tensor.device.type == "meta":
        raise CaptureError(name, "is on the meta device and has no values", remedy=remedy)
    if tensor.is_quantized or tensor.is_complex() or (tensor.is_floating_point() and tensor.itemsize == 1):
        remedy = "capture the model in floating point: real numbers of 16, 32 or 64 bits"
        raise CaptureError(name, f"is a tensor of {tensor.dtype}", remedy=remedy)
    if tensor.layout is not torch.strided or tensor.is_nested:
        raise CaptureError(name, "is a sparse or nested tensor", remedy="convert it with .to_dense()")
    if isinstance(tensor, nn.Parameter) and tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        raise CaptureError(name, "holds NaN or infinite values", remedy=remedy)
    if bool(torch.isnan(tensor).any()):  # an attention mask may well hold infinities
        raise CaptureError(name, "holds NaN", remedy="load statistics that are whole")


def device_of(module: nn.Module) -> torch.device | None:
    """The device of a model's tensors; None if it has none.

    Raises:
        CaptureError: if they are on several.
    """
    found = {tensor.device for tensor in (*module.parameters(), *module.buffers())}
    if len(found) > 1:
        raise CaptureError(
            type(module).__name__,
            f"is on {len(found)} devices: {', '.join(sorted(map(str, found)))}",
            remedy="move it to one, model.to(device)",
        )
    return next(iter(found), None)


@contextmanager
def as_it_was(module: nn.Module) -> Iterator[None]:
    """Evaluation mode with torch's plain kernels, and afterwards everything in the model as it was before.

    Each submodule has its own mode again, its attributes are those that it had (a first call may leave a table behind),
    and its buffers their values.
    """
    attributes = [(one, dict(one.__dict__)) for one in module.modules()]
    values = [value for _, own in attributes for value in own.values()]
    containers = [(value, value.copy()) for value in values if type(value) in HOLDING]
    buffers = [(buffer, buffer.detach().clone()) for buffer in module.buffers()]
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # another kernel than the operators that torch.export sees
    module.eval()
    try:
        with torch.inference_mode(mode=False):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        for one, before in attributes:
            one.__dict__.clear()
            one.__dict__.update(before)
        for container, held in containers:
            _refill(container, held)
        with torch.no_grad():
            for buffer, value in buffers:
                if not torch.equal(buffer, value):
                    buffer.copy_(value)


HOLDING = (dict, list, set)
"""Attributes of these types hold a module's parts, and its caches."""


def _refill(container: Any, before: Any) -> None:
    """What a dict, list or set held before, in the same object."""
    if len(container) == len(before) and _same(container, before):
        return
    container.clear()
    if isinstance(container, list):
        container.extend(before)
    else:
        container.update(before)


def _same(container: Any, before: Any) -> bool:
    if isinstance(container, dict):
        return all(name in container and container[name] is value for name, value in before.items())
    if isinstance(container, set):
        return bool(container == before)
    return all(a is b for a, b in zip(container, before, strict=True))


class Source:
    """A model as a function of a row of tensors, with outputs in plain containers.

    Args:
        model: in evaluation mode.
        call: how it is called.
    """

    def __init__(self, model: nn.Module, call: Call) -> None:
        self.model = model
        self.call = call

    def __call__(self, row: Sequence[Tensor]) -> Any:
        """The model's outputs; what it writes into its inputs is not seen outside.

        Args:
            row: each of any shape.
        """
        with torch.no_grad():
            nest, found = output_of(self.call.of(self.model, [tensor.clone() for tensor in row]))
        return filled(nest, found)


def first_line(error: BaseException) -> str:
    """The first line of an error's message that says something."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def cause(error: BaseException) -> str:
    """Why a model could not be traced, in a line."""
    function, words = INNER
    chain: BaseException | None = error
    while chain is not None:
        if any(frame.name == function for frame in traceback.extract_tb(chain.__traceback__)):
            return words
        chain = chain.__cause__ or chain.__context__
    return first_line(error)


def users_line(error: BaseException) -> str:
    """File and line of the user's code at which an error arose: the last frame outside torch and microjoule."""
    ours = (str(Path(torch.__file__).parent), str(Path(__file__).parents[1]))
    chain: BaseException | None = error
    found = "the model"
    while chain is not None:
        for frame in traceback.extract_tb(chain.__traceback__):
            if not frame.filename.startswith((*ours, "<")) and "contextlib" not in frame.filename:
                found = f"{frame.filename}:{frame.lineno} ({(frame.line or '').strip()})"
        if found != "the model":
            return found
        chain = chain.__cause__ or chain.__context__
    return found
