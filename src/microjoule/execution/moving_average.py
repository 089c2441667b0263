"""A moving average of all that a network stores, which is steadier than what its last steps left.

Source: Polyak and Juditsky 1992, https://doi.org/10.1137/0330046; with exponential weights as in Tarvainen and
Valpola 2017, https://arxiv.org/abs/1703.01780, section 2.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from microjoule.errors import SettingError


class MovingAverage:
    """Shadows of a module's parameters and floating-point buffers, batch-norm statistics included.

    A shadow moves by (1 - d) of the way to the current value, with d = min(decay, (1 + n) / (10 + n)) at update n, so
    that the first values are soon forgotten.

    Args:
        module: what is averaged.
        decay: the share that stays at each update, at most.

    Raises:
        SettingError: for a decay outside [0, 1).
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        if not 0 <= decay < 1:
            raise SettingError("ema", f"is {decay}", remedy="give a decay from 0 to below 1, such as 0.999")
        self.module = module
        self.decay = decay
        self.updates = 0
        self.shadows = {name: tensor.detach().clone() for name, tensor in self._current().items()}

    def _current(self) -> dict[str, Tensor]:
        named = [*self.module.named_parameters(), *self.module.named_buffers()]
        return {name: tensor for name, tensor in named if tensor.is_floating_point()}

    @torch.no_grad()
    def update(self) -> None:
        """Move the shadows towards the current values."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        current = self._current()
        get_ema_multi_avg_fn(decay)(list(self.shadows.values()), [current[name] for name in self.shadows], self.updates)
        self.updates += 1

    @torch.no_grad()
    def apply(self) -> None:
        """Let the module hold the shadows."""
        for name, tensor in self._current().items():
            tensor.copy_(self.shadows[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """A context in which the module holds the shadows; after it, what it held before."""
        held = {name: tensor.detach().clone() for name, tensor in self._current().items()}
        self.apply()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, tensor in self._current().items():
                    tensor.copy_(held[name])
