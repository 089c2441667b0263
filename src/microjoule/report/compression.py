"""What compression did, in words."""

from microjoule.records.compressed import Factorized, LayerFactorized
from microjoule.report import units
from microjoule.report.step import Step
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
