"""What tells the samples of an evaluation from others, so that only scores of the same samples are ever compared."""

import hashlib
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from microjoule.execution.signature import samples_along

LOOKED_AT = 4096
"""Values of each tensor of a sample that are looked at, evenly spread: other samples differ in more than a few."""


class SampleIdentity:
    """Gathers samples, batch after batch; how they are divided into batches does not matter, their order does."""

    def __init__(self) -> None:
        self._samples = 0
        self._seen: dict[str, Any] = {}

    def update(self, inputs: tuple[Any, ...], targets: Any) -> None:
        """Take in one batch."""
        samples = samples_along(inputs)
        self._samples += samples
        for place, part in (("input", inputs), ("target", targets)):
            leaves = pytree.tree_leaves(part)
            if all(isinstance(leaf, Tensor) and leaf.dim() > 0 and len(leaf) == samples for leaf in leaves):
                for number, leaf in enumerate(leaves):
                    self._add(f"{place} {number} {leaf.dtype} {tuple(leaf.shape[1:])}", _shown(leaf, samples))
            else:  # such as a list of boxes, sample after sample
                for leaf in leaves:
                    whole = isinstance(leaf, Tensor)
                    told = f"{leaf.dtype} {tuple(leaf.shape)} " if whole else repr(leaf)
                    self._add(place, told.encode() + (_shown(leaf, 1) if whole else b""))

    def _add(self, place: str, content: bytes) -> None:
        self._seen.setdefault(place, hashlib.sha256()).update(content)

    def hexdigest(self) -> str:
        """Sixteen hexadecimal digits."""
        whole = hashlib.sha256(str(self._samples).encode())
        for place in sorted(self._seen):
            whole.update(f"{place} {self._seen[place].hexdigest()}".encode())
        return whole.hexdigest()[:16]


def _shown(leaf: Tensor, samples: int) -> bytes:
    """As much of each sample as tells it from others."""
    rows = leaf.detach().reshape(samples, -1)
    every = max(1, -(-rows.shape[1] // LOOKED_AT))
    return rows[:, ::every].cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
