"""A function of tensors as a module that can be captured."""

from collections.abc import Callable
from typing import Any

from torch import nn

from tests.capture.models import Function


def of(function: Callable[..., Any]) -> nn.Module:
    """A module that does what a function does."""
    return Function(lambda _, *given: function(*given)).eval()
