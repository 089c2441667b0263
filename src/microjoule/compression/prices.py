"""What a layer of some shape costs, by whatever a budget counts."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path

from microjoule.compression.approximations import Sizes
from microjoule.costs.energy import EnergyTable, energy_table
from microjoule.costs.operations import FLOAT_BITS
from microjoule.errors import SettingError
from microjoule.numerics.low_rank_shapes import Method, Rank, factor_places, factor_shapes

Form = tuple[Method, Rank]
"""How a layer is put in factors."""

FLOAT_BYTES = FLOAT_BITS // 8


@dataclass(frozen=True, slots=True)
class Work:
    """One convolution or linear layer, for one sample.

    Args:
        weight: its shape, (out, in / groups, *kernel).
        places: at how many places its weights are used.
        read: values that it reads.
        written: values that it writes.
        groups: of its channels; 1 for a layer whose outputs read all inputs.
    """

    weight: tuple[int, ...]
    places: int
    read: int
    written: int
    groups: int = 1

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return prod(self.weight) * self.places


Price = Callable[[Work], float]
"""What one layer costs."""


@dataclass(frozen=True, slots=True)
class Currency:
    """What is counted.

    Args:
        name: of it.
        unit: of it.
        price: what one layer costs.
        each_call: whether a layer that is called twice costs that twice.
    """

    name: str
    unit: str
    price: Price
    each_call: bool = True


def currency(name: str, *, energy: str | Path | EnergyTable = "horowitz-45nm") -> Currency:
    """What a budget counts.

    Args:
        name: "macs", "bytes" (of weights in 32 bits) or "energy".
        energy: as in `mj.costs`.

    Raises:
        SettingError: for another name.
        TargetError: if there is no such energy table.
    """
    table = energy_table(energy)

    def picojoule(work: Work) -> float:
        moved = FLOAT_BYTES * (prod(work.weight) + work.read + work.written)
        return work.macs * table.mac_pj(FLOAT_BITS, FLOAT_BITS, floating=True) + table.move_pj(moved)

    found: dict[str, Currency] = {
        "macs": Currency("macs", "MACs", lambda work: work.macs),
        "bytes": Currency("bytes", "B", lambda work: FLOAT_BYTES * prod(work.weight), each_call=False),
        "energy": Currency("energy", "pJ", picojoule),
    }
    if name not in found:
        raise SettingError("cost", f"is {name!r}", remedy=f"use one of {', '.join(found)}")
    return found[name]


def works(
    shape: tuple[int, ...], channels: int, sizes: Sizes, form: Form | None = None, *, transposed: bool = False
) -> list[Work]:
    """The layers that a layer is or becomes.

    Args:
        shape: of its weight, (out, in / groups, *kernel).
        channels: that it reads.
        sizes: of its input and output.
        form: its low-rank form, if it has one.
        transposed: whether its weights are used at places of its input, as a transposed convolution's are.
    """
    if form is None:
        used = prod(sizes.inputs if transposed else sizes.outputs)
        groups = channels // shape[1]
        return [Work(shape, used, channels * prod(sizes.inputs), shape[0] * prod(sizes.outputs), groups)]
    shapes, places = factor_shapes(shape, *form), factor_places(form[0], sizes.inputs, sizes.outputs)
    written = [one[0] * count for one, count in zip(shapes, places, strict=True)]
    read = [channels * prod(sizes.inputs), *written[:-1]]
    each = zip(shapes, places, read, written, strict=True)
    return [Work(*one) for one in each]
