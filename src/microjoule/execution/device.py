"""Where a network runs: a function's `device` argument moves it there for as long as the function runs."""

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, ParamSpec, TypeVar

import torch
from torch import nn

from microjoule.errors import SettingError
from microjoule.graph.network import Network

Device = str | torch.device | None
"""A device, or its name such as "cuda:1"; None for where the network is."""

P = ParamSpec("P")
R = TypeVar("R")

REMEDY = "leave it out, or use cpu, cuda, cuda:1, mps or another device that this machine has"


def find_device(device: str | torch.device) -> torch.device:
    """A device of this machine.

    Args:
        device: it, or its name.

    Raises:
        SettingError: if there is no such device, or PyTorch cannot use it here.
    """
    try:
        found = torch.device(device)
        torch.zeros(1, device=found).cpu()
    except (RuntimeError, AssertionError, NotImplementedError, TypeError, ModuleNotFoundError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        fact = f"is {str(device)!r}, which cannot be used here: {reason}"
        raise SettingError("device", fact, remedy=REMEDY) from error
    return found


def move(model: Network | nn.Module, device: Device) -> None:
    """Move a network or a module, in place; None leaves it where it is.

    Raises:
        SettingError: if there is no such device, or PyTorch cannot use it here.
    """
    if device is not None:
        model.to(find_device(device))


def beside(other: Network, network: Network) -> Network:
    """Another network on the device of this one: itself if it is there, else a copy."""
    return other if other.device == network.device else other.copy().to(network.device)


def returns(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function move its first argument, which is back where it was afterwards, as is a network that it gives."""
    name = next(iter(signature(function).parameters))

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        model: Any = args[0] if args else kwargs.get(name)
        home = _home(model)
        try:
            result = function(*args, **kwargs)
            if isinstance(result, Network) and home is not None:
                result.to(home)
            return result
        finally:
            if home is not None and _home(model) != home:
                model.to(home)

    return run


def _home(model: Any) -> torch.device | None:
    """Where a network or a module is; None of anything else, and of a module without tensors."""
    if isinstance(model, Network):
        return model.device
    if isinstance(model, nn.Module):
        return next((tensor.device for tensor in (*model.parameters(), *model.buffers())), None)
    return None
