"""What could be made smaller in a network, what each step would lose, and what it would save."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from microjoule.compression.approximations import Sizes, call_sizes, usable_forms
from microjoule.compression.criteria import CRITERIA, check_criterion, gates_for, order_by
from microjoule.compression.cuts import Cut, cuts
from microjoule.compression.plan import Plan
from microjoule.compression.prices import Currency, Form, Work, works
from microjoule.compression.readers import readers, reading_layers
from microjoule.execution.moments import input_moments
from microjoule.execution.reconstruct import ROWS
from microjoule.graph.channels import ChannelGroup, channel_groups
from microjoule.graph.factor import unfit
from microjoule.graph.network import Network
from microjoule.graph.ops import Layer
from microjoule.graph.patches import weight_rows
from microjoule.numerics.elimination import eliminate, refitted
from microjoule.numerics.least_squares import Moments, trusted
from microjoule.numerics.low_rank import errors
from microjoule.numerics.low_rank_shapes import Method, full_rank

LEVELS = 24
"""Numbers of channels, or ranks, that are offered for each."""

METHODS: tuple[Method, ...] = ("spatial", "output", "input")
"""The low-rank forms that are offered for a layer."""


@dataclass(frozen=True, slots=True)
class Removal:
    """In which order the units of a group go, and what is lost.

    Args:
        group: the group.
        order: of its units, all but the last one.
        losses: for each number of units that are gone, from 0 on: the squared error of what their readers give, over
            its variance, summed over readers.
    """

    group: ChannelGroup
    order: tuple[int, ...]
    losses: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Menu:
    """What there is to choose from.

    Args:
        network: as it is.
        removals: by the names of groups.
        known: moments of what layers read and give, by path.
        sizes: of what they read and give, each time that they are called.
        currency: what is paid.
        methods: the low-rank forms that are offered.
        multiple: widths that channels are pruned to, and ranks, are multiples of this.
    """

    network: Network
    removals: Mapping[str, Removal]
    known: Mapping[str, Moments]
    sizes: Mapping[str, tuple[Sizes, ...]]
    currency: Currency
    methods: tuple[Method, ...] = METHODS
    multiple: int = 1
    _layers: dict[str, Layer] = field(default_factory=dict)
    _lost: dict[tuple[str, Method, bytes], list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._layers.update({layer.path: layer for layer in self.network.layers})

    @property
    def groups(self) -> list[ChannelGroup]:
        """All groups."""
        return [removal.group for removal in self.removals.values()]

    def is_made_once(self, name: str) -> bool:
        """Whether one layer alone makes a group's channels; depthwise layers, which pass them on, aside."""
        makers = (self._layers[path] for path in self.removals[name].group.makers)
        return sum(layer.in_channels > layer.groups or layer.groups == 1 for layer in makers) == 1

    def cost(self, plan: Plan) -> float:
        """What the layers cost that a plan leaves."""
        stays = cuts(self.network, self.groups, plan.removed)
        return sum(self.layer_cost(path, stays[path], plan.forms.get(path)) for path in self._layers)

    def layer_cost(self, path: str, cut: Cut, how: Form | None = None) -> float:
        """What one layer costs, or its factors, in all its calls."""
        return sum(self.currency.price(work) for work in self.works(path, cut, how))

    def works(self, path: str, cut: Cut, how: Form | None = None) -> Iterator[Work]:
        """The layers that one layer is or becomes, in all its calls that cost something."""
        layer = self._layers[path]
        shape, channels, transposed = cut.shape(layer), int(cut.ins.sum()), layer.kind == "conv_transpose"
        calls = self.sizes[path] if self.currency.each_call else self.sizes[path][:1]
        for one in calls:
            yield from works(shape, channels, one, how, transposed=transposed)

    def widths(self, removal: Removal) -> list[int]:
        """How many units may go, from 0 on."""
        size = removal.group.size
        counts = [count for count in range(1, size) if not (size - count) % self.multiple]
        return [0, *counts[:: -(-len(counts) // LEVELS) or 1]]

    def removed(self, name: str, count: int) -> tuple[int, ...]:
        """The units of a group that go first."""
        return self.removals[name].order[:count]

    def forms(self, path: str, cut: Cut) -> Iterator[tuple[Form, float]]:
        """The low-rank forms of a layer that cost less than what is left of it, and what each loses."""
        layer = self._layers[path]
        if path not in self.known or unfit(self.network, layer) is not None:
            return
        limit, shape = self.layer_cost(path, cut), cut.shape(layer)
        for method in usable_forms(self.network, layer, self.methods):
            lost = self._errors(layer, cut, method)
            full = full_rank(shape, method)
            step = self.multiple * max(1, full // (LEVELS * self.multiple))
            for rank in range(self.multiple, full, step):
                if lost and self.layer_cost(path, cut, (method, rank)) < limit:
                    yield (method, rank), lost[rank]

    def _errors(self, layer: Layer, cut: Cut, method: Method) -> list[float]:
        """What a form of what is left of a layer loses at every rank, of its output's variance; empty if that is 0."""
        key = layer.path, method, torch.cat([cut.ins, cut.outs]).numpy().tobytes()
        if key not in self._lost:
            weight, second, total = self._left(layer, cut)
            self._lost[key] = (errors(weight, method, second) / total).tolist() if total > 0 else []
        return self._lost[key]

    def _left(self, layer: Layer, cut: Cut) -> tuple[Tensor, Tensor, float]:
        """The weight of the channels that stay, fitted anew, the second moment of its inputs, its output's variance."""
        known, columns = self.known[layer.path], cut.columns(layer)[0]
        second = trusted(known)[0]
        stay = torch.zeros(len(second), dtype=torch.bool, device=second.device)
        stay[columns] = True
        rows = weight_rows(layer, layer.stored_weight.detach())[0]
        fitted = rows.double() if bool(stay.all()) else refitted(rows, second, stay)
        total = float(known.output_variance[0, cut.outs].sum())
        return fitted[cut.outs].reshape(cut.shape(layer)), second[stay][:, stay], total


def find_menu(
    network: Network,
    data: Any,
    currency: Currency,
    *,
    samples: int | None = None,
    rows: int = ROWS,
    seed: int = 0,
    methods: Sequence[Method] = METHODS,
    multiple: int = 1,
    criterion: str = CRITERIA[0],
) -> Menu:
    """Look at what layers read, and in which order channels had best go.

    Args:
        network: in floating point.
        data: inputs, in any form that `batches` takes.
        currency: what is paid.
        samples: how many to use; None for all.
        rows: how many places of a layer's output to look at, over all samples.
        seed: of the places.
        methods: the low-rank forms that are offered; none for pruning alone.
        multiple: widths that channels are pruned to, and ranks, are multiples of this.
        criterion: by which channels are chosen, one of `CRITERIA`.

    Raises:
        SettingError: for a criterion that there is not, or that cannot be used on this network.
    """
    check_criterion(criterion)
    groups = channel_groups(network).groups
    gates = gates_for(criterion, network, groups, data, samples=samples)
    known = input_moments(network, data, reading_layers(network), samples=samples, rows=rows, seed=seed)
    removals = {}
    for group in groups:
        problems = readers(network, group, known)
        if problems:
            order, losses = eliminate(problems, order_by(criterion, network, group, problems, gates))
            removals[group.name] = Removal(group, tuple(order), tuple(losses.tolist()))
    return Menu(network, removals, known, call_sizes(network), currency, tuple(methods), multiple)
