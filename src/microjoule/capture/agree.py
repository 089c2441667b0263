"""Holding a network to its source: for the example, and for other sizes where it takes them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from microjoule.capture.build import Built
from microjoule.capture.compare import (
    LARGEST_OF_OTHER_KERNELS,
    LARGEST_RELATIVE_DIFFERENCE,
    REFUSED,
    Run,
    difference,
    disagreement,
    inputs_of,
    other_sizes,
)
from microjoule.capture.precision import largest_difference, to_float32
from microjoule.capture.trace import NotFreeError
from microjoule.errors import CaptureError
from microjoule.graph.contract import BATCH, Contract, dtype_of
from microjoule.graph.network import Network


class Reference(NamedTuple):
    """What a network is held to: its source by name, as a function, what it gives for the example, and the example."""

    name: str
    run: Run
    expected: Any
    row: Sequence[Tensor]


class Found(NamedTuple):
    """A network, how much it differs from its source, and at which batches that was looked at."""

    built: Built
    largest: float
    batches: tuple[int, ...]


def agreed(made: Built, reference: Reference, sizes: Mapping[str, int]) -> Found:
    """Hold a network to its source, for the example and at other sizes; afterwards it computes in float32.

    A model in another type is compared in its own first, where next to nothing may differ, and then in float32.

    Args:
        made: the network, in its source's types.
        reference: what it is held to.
        sizes: the free sizes with which it was traced.

    Raises:
        CaptureError: if it differs for the example by more than replacing an operator, or the type, may cost.
        NotFreeError: if it differs at other sizes that it takes.
    """
    network, coarse = made.network, largest_difference(made.types)
    if made.autocast:
        to_float32(network, made.types)
        return _at_other_sizes(network, reference, sizes, Found(made, _differs(network, reference, coarse), ()), coarse)
    allowed = LARGEST_OF_OTHER_KERNELS if made.replaced else LARGEST_RELATIVE_DIFFERENCE
    found = Found(made, _differs(network, reference, allowed), ())
    found = _at_other_sizes(network, reference, sizes, found, allowed)
    if not made.types:
        return found
    to_float32(network, made.types)
    return found._replace(largest=_differs(network, reference, max(allowed, coarse)))


def changing(source: str, fact: str) -> CaptureError:
    """The error for a source that gives something else the next time."""
    remedy = "a model must give the same output for the same input in evaluation mode; look for random numbers"
    return CaptureError(source, fact, remedy=f"{remedy}, and for what a call leaves behind for the next")


def _run(network: Network) -> Run:
    types = [dtype_of(one.dtype) for one in network.contract.inputs]

    def run(row: Sequence[Tensor]) -> Any:
        with torch.no_grad():
            return network.module(*(tensor.to(dtype) for tensor, dtype in zip(row, types, strict=True)))

    return run


def _differs(network: Network, reference: Reference, allowed: float) -> float:
    """By how much a network differs from its source for the example."""
    differs = difference(_run(network)([tensor.clone() for tensor in reference.row]), reference.expected)
    if not differs <= allowed:
        fact = f"the captured network's output differs from the model's by {differs:.3g} of its largest value"
        raise changing(reference.name, fact)
    return differs


def _at_other_sizes(
    network: Network, reference: Reference, sizes: Mapping[str, int], found: Found, allowed: float
) -> Found:
    """Compare at other sizes; that a size may be 1 is known only then."""
    said = _disagreement(network, reference, network.contract.sizes_of(reference.row), allowed)
    if said and not said.startswith(REFUSED):
        raise changing(reference.name, f"with other values of the example's shapes {said}")
    samples = network.contract.samples(reference.row)
    batches = [] if samples is None else [samples]
    for other in other_sizes(network.contract, sizes):
        said = _disagreement(network, reference, other, allowed)
        single = next((name for name, size in other.items() if size == 1 and sizes[name] != 1), None)
        if said == "" and single is not None:
            network.contract = network.contract.at_least(single, 1)
        elif said and not (single is not None and single not in _own(network.contract, reference.row)):
            raise NotFreeError(f"at {_words(other)} {said}")
        if said == "" and BATCH in other:
            batches.append(other[BATCH])
    return found._replace(batches=tuple(dict.fromkeys(batches)))


def _own(contract: Contract, row: Sequence[Tensor]) -> set[str]:
    """The free sizes that are 1 in the example."""
    pairs = (
        (d, s) for one, t in zip(contract.inputs, row, strict=True) for d, s in zip(one.dims, t.shape, strict=True)
    )
    return {dim for dim, size in pairs if isinstance(dim, str) and size == 1}


def _words(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{size} samples" if name == BATCH else f"{name} = {size}" for name, size in sizes.items())


def _disagreement(network: Network, reference: Reference, sizes: Mapping[str, int], allowed: float) -> str | None:
    """How network and source differ at some sizes; changed samples are another input, which a model may refuse."""
    said: str | None = ""
    for changed in (True, False):
        inputs = inputs_of(network.contract, reference.row, sizes, changed=changed)
        said = disagreement(_run(network), reference.run, inputs, allowed)
        if said is None or not said.startswith(REFUSED):
            break
    return said
