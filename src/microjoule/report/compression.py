"""What compression did, in words."""

from collections.abc import Callable
from typing import Any

from microjoule.records.compressed import (
    Compressed,
    CompressionSensitivity,
    Factorized,
    LatencyModelled,
    LayerCompressed,
    LayerFactorized,
    OneCompressed,
)
from microjoule.records.pruned import ChannelsRemoved
from microjoule.report import units
from microjoule.report.comparisons import change, counts, seen
from microjoule.report.step import Step
from microjoule.report.tables import MISSING, Cell, Column, Table, number, word
from microjoule.report.units import many


def factorized(record: Factorized) -> Step:
    """Layers replaced by chains of factors."""
    before, after = sum(one.macs_before for one in record.layers), sum(one.macs_after for one in record.layers)
    told = "" if record.source is None else f", on {many(record.samples, 'sample')} of {record.source}"
    spent = f", MACs from {units.count(before)} to {units.count(after)}" if record.layers else ""
    what = "weight" if record.source is None else "output"
    details = tuple((one.layer, _layer(one, what)) for one in record.layers)
    summary = f"{many(len(record.layers), 'layer')}{spent}{told}"
    return Step("Replaced layers by low-rank factors", summary, details, record.skipped)


def _layer(one: LayerFactorized, what: str) -> str:
    rank, full = (" and ".join(map(str, ranks)) for ranks in (one.ranks, one.full_ranks))
    return f"{one.method}, rank {rank} of {full}: error of its {what} {units.percent(one.error)}"


def compressed(record: Compressed) -> Step:
    """A network made cheaper: what it came to, the ways that were tried, and what is left of each layer."""
    values = (units.score(value, record.unit) for value in (record.value_before, record.value_after))
    spent = record.cost_after / record.cost_before
    summary = (
        f"{units.percent(spent)} of the {units.cost_name(record.cost)} left; {record.metric} from {' to '.join(values)}"
    )
    if record.confirmed is not None:
        told = f"{change(record.confirmed)}, {counts(record.confirmed)}: {seen(record.confirmed)}"
        summary += f", on samples that nothing was chosen by: {told}"
    chosen_by = f" on the {many(record.chosen_samples, 'sample')} to choose by" if record.confirmed else ""
    ways = [
        (
            f"channels to {units.percent(way.pruned_to)}" + (", taken" if index == record.chosen else ""),
            f"{record.metric} {units.score(way.value, record.unit)}{chosen_by}; "
            f"foreseen loss {units.digits(way.loss)}, greedy {units.digits(way.greedy_loss)}",
        )
        for index, way in enumerate(record.tried)
    ]
    return Step("Compressed", summary, (*ways, *((one.layer, _left(one)) for one in record.layers)))


def latency_modelled(record: LatencyModelled) -> Step:
    """What a budget of milliseconds was divided by: how far the model is off, and what it is made of."""
    summary = (
        f"{units.latency(record.latency_ms)} by {record.clock}; modelled from {many(record.networks, 'network')} of "
        f"other shapes, off by {units.percent(record.relative_error)} for one that it has not seen"
    )
    parts = tuple((name, f"{units.latency(factor)} each") for name, factor in record.factors.items() if factor)
    return Step("Modelled the latency", summary, (("beside layers", units.latency(record.fixed_ms)), *parts))


def compressed_table(record: Compressed) -> Table:
    """A row for each layer that changed."""
    titles = (
        "layer",
        "channels read",
        "channels made",
        "low rank",
        f"{units.cost_name(record.cost)} before",
        "after",
        "left",
    )
    columns = tuple(Column(title, numeric=title not in ("layer", "low rank")) for title in titles)
    return Table("Compressed layers", columns, tuple(_row(one, record.cost_unit) for one in record.layers))


def _row(one: LayerCompressed, unit: str) -> tuple[Cell, ...]:
    channels = zip(one.channels_before, one.channels_after, strict=True)
    share = one.cost_after / one.cost_before
    return (
        word(one.layer),
        *(number(after, f"{after}" if after == before else f"{before} → {after}") for before, after in channels),
        word(f"{one.method} {', '.join(map(str, one.ranks))}") if one.method else MISSING,
        number(one.cost_before, units.amount(one.cost_before, unit)),
        number(one.cost_after, units.amount(one.cost_after, unit)),
        number(share, units.percent(share)),
    )


def _left(one: LayerCompressed) -> str:
    sides = zip(one.channels_before, one.channels_after, ("read", "made"), strict=True)
    words = [f"{after} of {before} channels {verb}" for before, after, verb in sides if after < before]
    if one.method:
        words.append(f"{one.method}, rank {' and '.join(map(str, one.ranks))}")
    return f"{', '.join(words)}: {units.percent(one.cost_after / one.cost_before)} of its cost"


def compression_sensitivity(record: CompressionSensitivity) -> Step:
    """What can be made smaller: how well the order was foreseen, and each layer's smallest share."""
    names = dict.fromkeys((row.kind, row.name) for row in record.rows)
    told = "nothing measured"
    if record.value is not None:
        told = f"{record.metric} {units.score(record.value, record.unit)} on {many(record.samples, 'sample')}"
    layers, groups = (sum(one == kind for one, _ in names) for kind in ("low rank", "channels"))
    what = f"{many(layers, 'layer')} and {many(groups, 'channel group')}"
    summary = f"{what}, {many(len(record.rows), 'way')} to make one smaller; {told}"
    details = []
    if record.rank_correlation is not None:
        details.append(("rank correlation of what was foreseen and measured", f"{record.rank_correlation:.3f}"))
    for kind, name in names:
        least = min((row for row in record.rows if (row.kind, row.name) == (kind, name)), key=lambda row: row.kept)
        details.append((f"{name}, {kind}", _bears(least, record)))
    return Step("Looked for what can be made smaller", summary, tuple(details))


def sensitivity_table(record: CompressionSensitivity) -> Table:
    """A row for each layer and channel group: the metric, or the foreseen loss, with about each tenth left."""
    farthest = sorted(record.rows, key=lambda row: -abs(row.kept - round(row.kept, 1)))
    nearest = {(row.kind, row.name, round(row.kept, 1)): row for row in farthest}
    shares = sorted({share for *_, share in nearest})
    titles = ("layer or group", "made smaller by", *(f"{share:g}" for share in shares))
    rows = []
    for kind, name in dict.fromkeys((row.kind, row.name) for row in record.rows):
        each = (nearest.get((kind, name, share)) for share in shares)
        rows.append((word(name), word(kind), *(MISSING if row is None else _kept(row, record) for row in each)))
    told = "foreseen loss"
    if record.value is not None:
        told = f"{record.metric}, {units.score(record.value, record.unit)} before,"
    columns = tuple(Column(title, numeric=at > 1) for at, title in enumerate(titles))
    return Table(f"Alone: {told} with a share left", columns, tuple(rows))


def _kept(row: OneCompressed, record: CompressionSensitivity) -> Cell:
    """The metric where it was measured, else what was foreseen to be lost."""
    if row.value is None:
        return number(row.loss, units.digits(row.loss))
    return number(row.value, units.value_with_error(row.value, row.value_error, record.unit))


def _bears(row: OneCompressed, record: CompressionSensitivity) -> str:
    value = "" if row.value is None else f", {record.metric} {units.score(row.value, record.unit)}"
    return f"{units.percent(row.kept)} left: foreseen loss {units.digits(row.loss)}{value}"


def channels_removed(record: ChannelsRemoved) -> Step:
    """Which layers make fewer channels."""
    before, after = record.parameters_before, record.parameters_after
    lost = sum(size - left for size, left in record.units.values())
    share = units.percent(1 - after / before) if before else "0 %"
    summary = (
        f"{many(lost, 'unit')} of {many(len(record.units), 'group')}: {share} fewer parameters, {after:,} are left"
    )
    details = tuple((path, f"{left:,} of {size:,} channels") for path, (size, left) in record.channels.items())
    return Step("Removed channels", summary, details)


WORDS: dict[type[Any], Callable[[Any], Step]] = {
    Factorized: factorized,
    ChannelsRemoved: channels_removed,
    LatencyModelled: latency_modelled,
    Compressed: compressed,
    CompressionSensitivity: compression_sensitivity,
}
"""By the kind of record."""
