"""Whether models that others wrote are captured: a list of timm's, each against its own output and state dict."""

import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

import torch

import microjoule as mj
from benchmarks.figure import Figure
from microjoule.errors import CaptureError
from microjoule.records.facts import Captured

MODELS = (
    "mobilenetv3_small_050",
    "efficientnet_lite0",
    "resnet18",
    "mobilenetv4_conv_small",
    "vit_tiny_patch16_224",
    "convnext_atto",
    "swin_tiny_patch4_window7_224",
    "fastvit_t8",
)
"""One small model a family: convolutions, squeeze and excitation, attention, shifted windows, reparametrized blocks."""


@dataclass(frozen=True, slots=True)
class Capture:
    """How one model was captured.

    Args:
        model: its name in timm.
        reason: why it was not; empty if it was.
        difference: of the largest output, relative.
        replaced: the operators that the network computes by others, where the difference is not 0.
    """

    model: str
    reason: str = ""
    difference: float = 0.0
    replaced: tuple[str, ...] = ()


def figures() -> Iterator[Figure]:
    """The share of models that are captured, and the largest difference; nothing but a line where timm is missing."""
    timm = installed()
    if timm is None:
        return
    captures = [captured(timm, name) for name in MODELS]
    whole = [one for one in captures if not one.reason]
    failed = "; ".join(f"{one.model}: {one.reason}" for one in captures if one.reason)
    about = (
        f"{len(whole)} of {len(captures)} of timm {timm.__version__}, untrained, with the original's state dict keys"
    )
    yield Figure(
        "timm models captured", len(whole) / len(captures), "share", ">= 1", "; ".join(filter(None, (about, failed)))
    )
    if whole:
        worst = max(whole, key=lambda one: one.difference)
        replaced = sorted({name for one in whole for name in one.replaced})
        about = f"the largest output; the worst is {worst.model}" if worst.difference else "bit by bit the same"
        compared = "; ".join([about, *(f"{name} replaced" for name in replaced)])
        yield Figure("timm models, largest output difference", worst.difference, "relative", "<= 1e-6", compared)


def installed() -> ModuleType | None:
    """The package timm, or None and a line on stderr that says why it does not import.

    It needs torchvision, whose compiled operators raise a RuntimeError beside another version of torch than their own.
    """
    try:
        return importlib.import_module("timm")
    except (ImportError, RuntimeError, OSError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        sys.stderr.write(f"timm models are left out: timm does not import ({reason})\n")
        return None


def captured(timm: ModuleType, name: str) -> Capture:
    """Capture one model with weights as its constructor draws them, on one random input of its own size.

    Args:
        timm: the package.
        name: of the model.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = timm.create_model(name, pretrained=False).eval()
        x = torch.rand(1, *module.pretrained_cfg["input_size"]) * 2 - 1
    try:
        network = mj.capture(module, x)
    except CaptureError as error:
        return Capture(name, f"{error.place}: {error.fact}")
    if list(network.module.state_dict()) != list(module.state_dict()):
        return Capture(name, "the state dict has other keys")
    record = next(one for one in network.history if isinstance(one, Captured))
    return Capture(name, difference=record.largest_difference, replaced=record.replaced)
