"""A module run in evaluation mode, whatever mode its parts are in, which they have again after."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def in_evaluation(module: nn.Module) -> Iterator[None]:
    """A context in which a module is in evaluation mode; after it, each part is in its own mode again.

    Args:
        module: with all its parts.
    """
    modes = {part: part.training for part in module.modules()}
    if not any(modes.values()):
        yield
        return
    module.eval()
    try:
        yield
    finally:
        if modes[module]:
            module.train()  # as a class of one's own may do more than set a flag
        for part, training in modes.items():
            part.training = training
