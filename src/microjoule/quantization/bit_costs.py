"""What a network costs with other bits: counted on the network, with nothing but the widths of its grids changed.

A group's cost is the difference that it makes, all other groups left alone. That is its cost whatever the others do, if
costs add up over groups; whoever adds them up counts the whole again, and so finds out.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from microjoule.costs.count import costs
from microjoule.errors import SettingError
from microjoule.graph.network import Network
from microjoule.graph.quantizer import Quantizer
from microjoule.quantization.bit_groups import BitGroup

Widths = tuple[int, int]
"""(bits of weights, bits of values); 0 where there are none."""

Price = Callable[[Network], float]
"""A network with quantizers -> what it costs for one sample, 0 or more; it must add up over groups."""


@dataclass(frozen=True, slots=True)
class Cost:
    """A kind of cost: its name, its unit, and how it is counted."""

    name: str
    unit: str
    price: Price


COSTS = {
    "bops": Cost("bops", "BOPs", lambda network: costs(network).bops),
    "bytes": Cost("bytes", "B", lambda network: costs(network).weight_bytes),
    "energy": Cost("energy", "pJ", lambda network: costs(network).energy_pj),
}
"""Bit operations, bytes of weights, and energy by the table of `costs`, for one sample."""


def find_cost(cost: str | Price) -> Cost:
    """A kind of cost by its name, or by a function of one's own, such as a sum over a table of latency.

    Raises:
        SettingError: for a name that there is not.
    """
    if callable(cost):
        return Cost(getattr(cost, "__name__", type(cost).__name__), "", cost)
    if cost not in COSTS:
        raise SettingError("cost", f"is {cost!r}", remedy=f"use one of {', '.join(COSTS)}, or give a function")
    return COSTS[cost]


def uniform_widths(text: str) -> Widths:
    """The widths that a text such as "W4A8" names.

    Raises:
        SettingError: for a text that names none.
    """
    found = re.fullmatch(r"W(\d+)A(\d+)", text)
    if found is None:
        raise SettingError("budget", f"is {text!r}", remedy='give a number, or bits such as "W4A8"')
    return int(found[1]), int(found[2])


class Meter:
    """Counts a network of its own at any widths.

    Args:
        network: with quantizers; the widths of their grids are changed.
        groups: whose widths are chosen.
        values: the quantizers of each value; those that are in no group keep their widths.
        price: what is counted.
    """

    def __init__(
        self, network: Network, groups: Sequence[BitGroup], values: Mapping[str, Sequence[Quantizer]], price: Price
    ) -> None:
        self.network, self.groups, self.values, self.price = network, groups, values, price
        self.on_weights = {layer.path: layer.quantizer for layer in network.layers if layer.quantizer is not None}

    def count(self, widths: Sequence[Widths]) -> float:
        """The network's cost with these widths for its groups."""
        for group, bits in zip(self.groups, widths, strict=True):
            self._set(group, bits)
        return self.price(self.network)

    def uniform(self, weights: int, activations: int) -> float:
        """The network's cost with the same widths everywhere; afterwards it is as it was."""
        everything = [*self.on_weights.values(), *(one for found in self.values.values() for one in found)]
        before = [quantizer.scheme for quantizer in everything]
        for index, quantizer in enumerate(everything):
            _set_bits(quantizer, weights if index < len(self.on_weights) else activations)
        found = self.price(self.network)
        for quantizer, scheme in zip(everything, before, strict=True):
            quantizer.scheme = scheme
        return found

    def above_first(self, options: Sequence[Sequence[Widths]]) -> tuple[float, list[list[float]]]:
        """The cost with every group's first option, and what each option of each group adds to it."""
        base = self.count([choices[0] for choices in options])
        added = []
        for group, choices in zip(self.groups, options, strict=True):
            added.append([0.0])
            for bits in choices[1:]:
                self._set(group, bits)
                added[-1].append(self.price(self.network) - base)
            self._set(group, choices[0])
        return base, added

    def _set(self, group: BitGroup, bits: Widths) -> None:
        for path in group.layers:
            _set_bits(self.on_weights[path], bits[0])
        for name in group.values:
            for quantizer in self.values[name]:
                _set_bits(quantizer, bits[1])


def _set_bits(quantizer: Quantizer, bits: int) -> None:
    quantizer.scheme = replace(quantizer.scheme, grid=replace(quantizer.scheme.grid, bits=bits))
