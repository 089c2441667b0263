"""One layer or one channel group made smaller, all else as it is: what it would lose, and the network that it makes.

The network keeps its shapes: channels that go get weights of 0 where they are read, low-rank forms are multiplied out.
That gives the same outputs as the smaller network, and takes no second pass through the calibration data.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from microjoule.compression.approximations import Curve, curve, usable_forms
from microjoule.compression.cuts import cuts
from microjoule.compression.menu import Menu, Removal
from microjoule.compression.plan import RIDGE, laid_out, refit_reading
from microjoule.compression.prices import Form
from microjoule.graph.channels import ChannelGroup
from microjoule.graph.edit import set_bias, set_weight
from microjoule.graph.factor import unfit
from microjoule.graph.network import Network
from microjoule.graph.ops import Layer
from microjoule.graph.patches import weight_from_rows, weight_rows
from microjoule.numerics.least_squares import Moments, best_bias, trusted
from microjoule.numerics.low_rank import approximated

LOW_RANK = "low rank"
CHANNELS = "channels"


@dataclass(frozen=True, slots=True)
class Smaller:
    """One thing made smaller.

    Args:
        name: the path of a layer, or the name of a channel group.
        kept: the share of the layer's multiply-accumulates, or of the group's units, that is left.
        left: the rank, or how many units are left.
        full: the rank with which nothing would be lost, or how many units there are.
        loss: the squared error of outputs, foreseen, over their variance; of a group summed over its readers.
        form: of a layer, its low-rank form.
        group: that units go of.
        removed: these units.
    """

    name: str
    kept: float
    left: int
    full: int
    loss: float
    form: Form | None = None
    group: ChannelGroup | None = None
    removed: tuple[int, ...] = ()

    @property
    def kind(self) -> str:
        """`LOW_RANK` or `CHANNELS`."""
        return LOW_RANK if self.group is None else CHANNELS


# What there is --------------------------------------------------------------------------------------------------------


def smaller_layers(menu: Menu, shares: Sequence[float]) -> Iterator[Smaller]:
    """Each layer at the largest ranks that keep given shares of its work, in the form that loses least.

    Args:
        menu: of the network.
        shares: of a layer's multiply-accumulates; those too small for any rank are left out.
    """
    for layer in menu.network.layers:
        if layer.path not in menu.known or unfit(menu.network, layer) is not None:
            continue
        known = menu.known[layer.path]
        usable = usable_forms(menu.network, layer, menu.methods)
        curves = [curve(layer, one, menu.sizes[layer.path][0], known) for one in usable]
        if float(known.output_variance.sum()) > 0:
            found = (_at(curves, layer.path, share) for share in sorted(set(shares)))
            yield from {one.form: one for one in found if one is not None}.values()


def _at(curves: Sequence[Curve], path: str, share: float) -> Smaller | None:
    """The form that loses least of those that keep a share."""
    found = []
    for one in curves:
        rank = bisect_right(one.macs, share * one.layer_macs) - 1
        if rank > 0:
            loss, kept = float(one.errors[rank]) / one.total, one.macs[rank] / one.layer_macs
            found.append(Smaller(path, kept, rank, len(one.macs) - 1, loss, form=(one.method, rank)))
    return min(found, key=lambda one: one.loss, default=None)


def smaller_groups(menu: Menu, shares: Sequence[float]) -> Iterator[Smaller]:
    """Each channel group with given shares of its units, rounded, but at least one; those that lose least stay.

    Args:
        menu: of the network.
        shares: of a group's units; those that leave all are left out.
    """
    for removal in menu.removals.values():
        size = removal.group.size
        counts = {max(1, round(share * size)): None for share in sorted(shares)}
        yield from (_pruned(removal, left) for left in counts if left < size)


def _pruned(removal: Removal, left: int) -> Smaller:
    gone, size = removal.group.size - left, removal.group.size
    units = removal.order[:gone]
    return Smaller(
        removal.group.name, left / size, left, size, removal.losses[gone], group=removal.group, removed=units
    )


# Making it ------------------------------------------------------------------------------------------------------------


def make_smaller(network: Network, one: Smaller, known: Mapping[str, Moments]) -> None:
    """Give a network, in place, the weights with which one thing is smaller, fitted in closed form.

    Args:
        network: as the menu has it.
        one: what is made smaller.
        known: moments of what layers read and give, by path.
    """
    if one.form is not None:
        layer = network.layer(one.name)
        made = approximated(layer.stored_weight.detach(), *one.form, trusted(known[one.name])[0])
        _set(network, layer, weight_rows(layer, made.weight), known[one.name])
    if one.group is not None:
        stays = cuts(network, [one.group], {one.group.name: one.removed})
        for path in one.group.readers:
            layer = network.layer(path)
            if layer.in_channels > layer.groups:
                rows = weight_rows(layer, layer.stored_weight.detach())
                columns = stays[path].columns(layer)
                fitted, _ = refit_reading(rows, known[path], columns, ridge=RIDGE)
                _set(network, layer, laid_out(fitted, columns, rows.shape[2]), known[path])
    network.recompile()


def _set(network: Network, layer: Layer, rows: Tensor, known: Moments) -> None:
    """Store a weight and the best bias for it."""
    set_bias(network, layer, best_bias(rows, known).flatten().to(layer.stored_weight))
    set_weight(layer, weight_from_rows(layer, rows).to(layer.stored_weight))
