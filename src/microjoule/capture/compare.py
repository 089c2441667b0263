"""Whether a network computes what its model computes: for the example, and for other sizes where it takes them.

Guards say for which sizes a trace holds, but a model can escape them (a size that went through `int`, a table that the
first call left behind). So model and network run on inputs of other sizes, made of the example's samples.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from microjoule.graph.contract import BATCH, Contract
from microjoule.graph.nest import opened

Run = Callable[[Sequence[Tensor]], Any]
"""A row of tensors -> outputs in plain containers."""

LARGEST_RELATIVE_DIFFERENCE = 1e-6
"""What may differ in float32 where the network calls the model's own kernels; untouched operators differ by 0.0."""

LARGEST_OF_OTHER_KERNELS = 5e-5
"""What may differ where it calls others (a linear layer for a matrix product), whose sums are of another order."""

BATCHES = (3, 5, 7, 11)
"""Numbers of samples to compare at: the first that neither divides the example's nor is divided by it."""

REFUSED = "the model refuses them"
"""How a disagreement begins where the model does not run."""

SHRINK = 0.1
"""By how much at most values are made smaller, so that samples differ and stay in their range."""


def difference(value: Any, reference: Any) -> float:
    """The largest relative difference of the tensors in two outputs; infinite where anything else differs.

    Args:
        value: outputs in plain containers.
        reference: likewise.
    """
    a, b = opened(value), opened(reference)
    if a is not None and b is not None:
        if a[:2] != b[:2]:
            return float("inf")
        return max((difference(x, y) for x, y in zip(a[2], b[2], strict=True)), default=0.0)
    if isinstance(value, Tensor) and isinstance(reference, Tensor):
        return relative_difference(value, reference)
    return 0.0 if a is b is None and value == reference else float("inf")


def relative_difference(value: Tensor, reference: Tensor) -> float:
    """The largest absolute difference over the largest absolute reference; 0.0 only for equal tensors.

    Not a number in both is no difference, nor is the same infinity.

    Args:
        value: any shape.
        reference: the same shape.
    """
    if value.shape != reference.shape:
        return float("inf")
    if reference.numel() == 0 or torch.equal(value, reference):
        return 0.0
    if not (value.is_floating_point() and reference.is_floating_point()):
        return float("inf")
    a, b = value.double(), reference.double()
    whole = torch.isfinite(b)
    if not torch.equal(torch.isfinite(a), whole) or not torch.equal(
        a[~whole].nan_to_num(0.5), b[~whole].nan_to_num(0.5)
    ):
        return float("inf")
    a, b = a[whole], b[whole]
    return float((a - b).abs().max() / (b.abs().max() or 1.0)) if b.numel() else 0.0


def other_sizes(contract: Contract, sizes: Mapping[str, int]) -> Iterator[dict[str, int]]:
    """Sizes to compare at, beside the example's: another batch, a single sample, and others of each free dimension.

    Args:
        contract: of the network.
        sizes: of the example, with which it was traced.
    """
    for name, size in sizes.items():
        if name == BATCH:
            wanted = [next(n for n in BATCHES if size % n and n % size) if size > 1 else BATCHES[0], 1]
        else:
            wanted = [next((s for s in range(size + 1, 2 * size + 33) if contract.accepts({**sizes, name: s})), 0)]
            wanted += [2 * size, 1]
        yield from ({**sizes, name: other} for other in wanted if other not in (0, size))


def inputs_of(
    contract: Contract, row: Sequence[Tensor], sizes: Mapping[str, int], *, changed: bool = True
) -> list[Tensor]:
    """Inputs of other sizes, made of the example's samples: repeated, permuted, and not all alike.

    Args:
        contract: of the network.
        row: the example's tensors.
        sizes: by name.
        changed: whether samples differ from those that they repeat.
    """
    generator = torch.Generator().manual_seed(0)
    resized = [_resized(tensor, contract.shape(index, sizes)) for index, tensor in enumerate(row)]
    return [_changed(tensor, generator) if changed else tensor for tensor in resized]


def _resized(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    made = tensor
    for axis, size in enumerate(shape):
        if size != made.shape[axis]:
            places = torch.arange(size, device=tensor.device) + (1 if tensor.shape[axis] > 1 else 0)
            made = made.index_select(axis, places % made.shape[axis])
    return made


def _changed(tensor: Tensor, generator: torch.Generator) -> Tensor:
    """Real numbers a little smaller, rows of integers and truth values each turned by another number of places."""
    if tensor.is_floating_point():
        less = 1 - SHRINK * torch.rand(tensor.shape, generator=generator)
        return tensor * less.to(tensor.device, tensor.dtype)
    if tensor.dim() > 1:
        return torch.stack([row.roll(shift, -1) for shift, row in enumerate(tensor)])
    return tensor


def disagreement(network: Run, model: Run, row: Sequence[Tensor], allowed: float) -> str | None:
    """How a network and its model differ on some inputs, in words; empty if they do not, None if both refuse them."""
    expected, refusal = _tried(model, row)
    found, failure = _tried(network, row)
    if refusal is not None:
        return None if failure is not None else f"{REFUSED}: {refusal}"
    if failure is not None:
        return f"they do not go through the network: {failure}"
    differs = difference(found, expected)
    return "" if differs <= allowed else f"outputs differ by {differs:.3g} of their largest value"


def _tried(run: Run, row: Sequence[Tensor]) -> tuple[Any, str | None]:
    try:
        return run([tensor.clone() for tensor in row]), None
    except Exception as error:
        return None, next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
