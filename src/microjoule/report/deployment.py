"""Is the deployed file what was simulated, and what of it runs in integers: sentences and tables."""

import math
from collections.abc import Sequence

from microjoule.records.facts import Record
from microjoule.records.measured import Exported, IntegerShare, OutputAgreement, Verified
from microjoule.report import units
from microjoule.report.choose import every
from microjoule.report.tables import MISSING, Cell, Column, Table, number, word

# Simulated against deployed -------------------------------------------------------------------------------------------


def verdict(record: Verified) -> str:
    """What a comparison found, layer by layer and from end to end, in a sentence; a second one says why it fails."""
    inside = "no layer departs" if record.first_departure is None else f"{record.first_departure} departs first"
    told = f"{record.runtime}: {inside}"
    output = furthest(record)
    if output is not None:
        told = f"{told}, and end to end {_outputs(record, output)}"
    reasons = "; ".join(record.problems)
    return f"{told}. It fails: {reasons}." if reasons else f"{told}."


def furthest(record: Verified) -> OutputAgreement | None:
    """The output that is furthest from the simulation, and of equal ones from FP32; None if no output was compared."""

    def key(output: OutputAgreement) -> tuple[float, float]:
        if output.sqnr_db is not None and output.fp32_sqnr_db is not None:
            return output.sqnr_db, output.fp32_sqnr_db
        share = output.equal_share if output.equal_share is not None else 1.0
        return (math.inf if share == 1 else -10 * math.log10(1 - share)), math.inf

    return min(record.outputs, key=key, default=None)


def _outputs(record: Verified, output: OutputAgreement) -> str:
    many = len(record.outputs) > 1
    name = f"output {output.name}, the furthest of {len(record.outputs)}," if many else "the output"
    agrees = f"{name} {_near(output)} the simulation and {_far(output)} FP32"
    return f"{agrees}{_worst(output)}"


def _near(output: OutputAgreement) -> str:
    if output.equal_share is not None:
        return f"has {units.percent(output.equal_share)} of the entries of"
    if output.sqnr_db == math.inf:
        return "is equal to"
    return f"agrees to {units.decibel(output.sqnr_db or 0.0)} dB with"


def _far(output: OutputAgreement) -> str:
    if output.fp32_equal_share is not None:
        return f"{units.percent(output.fp32_equal_share)} of those of"
    if output.fp32_sqnr_db == math.inf:
        return "equal to"
    return f"to {units.decibel(output.fp32_sqnr_db or 0.0)} dB with"


def _worst(output: OutputAgreement) -> str:
    """The worst sample against the simulation, or against FP32 where the simulation is met everywhere."""
    sample, ratio, against = output.worst_sample, output.worst_db, "the simulation"
    if sample is None:
        sample, ratio, against = output.worst_fp32_sample, output.worst_fp32_db, "FP32"
    if sample is None or ratio is None:
        return ""
    return f"; worst sample {sample}: {_ratio(output, ratio)} to {against}"


def _ratio(output: OutputAgreement, value: float) -> str:
    return units.percent(value) if output.equal_share is not None else f"{units.decibel(value)} dB"


def agreements(records: Sequence[Record]) -> Table:
    """Each comparison in one line."""
    rows = []
    for record in every(records, Verified):
        steps = max((layer.largest_steps for layer in record.layers), default=None)
        within = min((layer.within_one_step_share for layer in record.layers), default=None)
        top1, output = record.top1_agreement, furthest(record)
        compared = f"{len(record.layers):,} of {record.values:,}" if record.values else f"{len(record.layers):,}"
        rows.append(
            (
                word(record.runtime),
                word(record.compared or record.path),
                number(record.samples, f"{record.samples:,}"),
                number(len(record.layers), compared),
                MISSING if steps is None else Cell(f"{steps:,}", steps),
                MISSING if within is None else Cell(units.percent(within), within),
                _departure(record),
                *((MISSING, MISSING) if output is None else _ends(output)),
                MISSING if top1 is None else Cell(units.percent(top1), top1),
                Cell("passes", 1.0, tone="good") if record.passed else Cell("fails", 0.0, tone="bad"),
            )
        )
    numeric = ("samples", "values compared", "most steps apart", "least within one step")
    ends = ("output to simulation", "output to FP32", "same top-1")
    titles = ("runtime", "what with what", *numeric, "first departure", *ends, "verdict")
    columns = tuple(Column(title, numeric=title in (*numeric, *ends)) for title in titles)
    return Table("Simulated against deployed", columns, tuple(rows))


def _departure(record: Verified) -> Cell:
    if record.first_departure is None:
        return Cell("none", None, tone="good")
    return Cell(record.first_departure, record.first_departure.lower(), tone="bad")


def _ends(output: OutputAgreement) -> tuple[Cell, Cell]:
    if output.equal_share is not None:
        return _share(output.equal_share), _share(output.fp32_equal_share)
    return _decibel(output.sqnr_db), _decibel(output.fp32_sqnr_db)


def _share(value: float | None) -> Cell:
    return MISSING if value is None else Cell(units.percent(value), value)


def _decibel(value: float | None) -> Cell:
    return MISSING if value is None else Cell("equal" if value == math.inf else f"{units.decibel(value)} dB", value)


def outputs_table(records: Sequence[Record]) -> Table:
    """Every output of every comparison, from end to end."""
    rows = []
    for record in every(records, Verified):
        for output in record.outputs:
            cells = _ends(output)
            worst = [
                MISSING if sample is None or ratio is None else Cell(f"{sample}: {_ratio(output, ratio)}", ratio)
                for sample, ratio in (
                    (output.worst_sample, output.worst_db),
                    (output.worst_fp32_sample, output.worst_fp32_db),
                )
            ]
            simulated = _decibel(output.simulated_fp32_sqnr_db)
            rows.append((word(record.runtime), word(output.name), cells[0], worst[0], cells[1], worst[1], simulated))
    titles = (
        "runtime",
        "output",
        "to simulation",
        "worst sample",
        "to FP32",
        "worst sample to FP32",
        "simulated to FP32",
    )
    return Table("Outputs from end to end", tuple(Column(t, numeric=i > 1) for i, t in enumerate(titles)), tuple(rows))


def references(records: Sequence[Record]) -> str:
    """What FP32 means in these comparisons, and in how many samples at once they ran; empty if there are none."""
    found = [record for record in every(records, Verified) if record.outputs]
    if not found:
        return ""
    batches = sorted({size for record in found for size in record.batch_sizes})
    meant = " and ".join(dict.fromkeys(record.reference for record in found))
    return f" FP32 is {meant}. Samples at once: {', '.join(map(str, batches))}."


# What runs in integers ------------------------------------------------------------------------------------------------


def share_of(records: Sequence[Record]) -> IntegerShare | None:
    """What the latest file with integers inside computes with them, or None if nobody looked."""
    looked = [r.integers for r in records if isinstance(r, Exported | Verified) and r.integers is not None]
    return looked[-1] if looked else None


def share_text(share: IntegerShare) -> str:
    """How much runs in integers, and why the rest does not, in a sentence."""
    told = f"{units.percent(share.share)} of the multiply-accumulates run in integers in {share.runtime}"
    floats = [one for one in share.operators if not one.integer]
    left = f"{units.many(share.dequantizers, 'DequantizeLinear')} left in {units.many(share.nodes, 'node')}"
    if not floats:
        return f"{told}; {left}."
    by_reason: dict[str, int] = {}
    for one in floats:
        by_reason[one.reason] = by_reason.get(one.reason, 0) + one.macs
    order = sorted(by_reason.items(), key=lambda item: -item[1])
    reasons = "; ".join(f"{units.percent(count / share.macs if share.macs else 0.0)} as {why}" for why, count in order)
    return f"{told}. In floating point: {reasons}. {left[0].upper()}{left[1:]}."


def share_table(share: IntegerShare) -> Table:
    """The operators that stay in floating point, those with the most multiply-accumulates first."""
    floats = sorted((one for one in share.operators if not one.integer), key=lambda one: -one.macs)
    rows = tuple(
        (
            word(one.layer),
            word(one.operator),
            number(one.macs, units.count(one.macs)),
            number(
                one.macs / share.macs if share.macs else 0.0, units.percent(one.macs / share.macs if share.macs else 0)
            ),
            word(one.reason),
        )
        for one in floats
    )
    columns = (Column("layer"), Column("operator"), Column("MACs", numeric=True), Column("share", numeric=True))
    return Table("In floating point", (*columns, Column("reason")), rows)
