"""The few numbers that matter, before and after."""

from collections.abc import Sequence
from dataclasses import dataclass

from microjoule.records.compressed import Compressed
from microjoule.records.facts import Record
from microjoule.records.measured import Costs, Evaluated, Exported, Measured
from microjoule.report import units
from microjoule.report.choose import before_and_after, last, result_stage
from microjoule.report.tables import change_to_float, metrics, tone

COMPRESSED = "compressed"
"""The stage of a network that was made smaller and is in floating point still."""

FLASH, RAM = "Flash (file)", "RAM (activations)"

NOUNS = {FLASH: "bytes", "Bytes": "bytes", "Latency": "time", RAM: "RAM", "Energy": "energy", "MACs": "MACs"}
"""What the headline's sentence calls that of which less is left, by the card's label."""


@dataclass(frozen=True, slots=True)
class Card:
    """One number of the headline.

    Args:
        label: what it is.
        value: the result.
        before: what it was, in words; empty if unknown.
        change: how it changed, short; empty if unknown.
        tone: "good", "bad" or nothing.
        shares: before and after as parts of the larger one, for two bars; None if there is nothing to compare.
    """

    label: str
    value: str
    before: str = ""
    change: str = ""
    tone: str = ""
    shares: tuple[float, float] | None = None


def cards(records: Sequence[Record]) -> list[Card]:
    """Accuracy, size, latency, memory, energy, operations: those that the records know."""
    makers = (_accuracy, _size, _latency, _memory, _energy, _operations)
    found = [make(records) for make in makers]
    known = [card for card in found if card is not None]
    budget = _budget(records)
    return known if budget is None or budget.label in {card.label for card in known} else [*known, budget]


def lead(records: Sequence[Record]) -> str:
    """The headline as one sentence; empty if there is nothing to compare."""
    found = [(card.shares, NOUNS[card.label]) for card in cards(records) if card.label in NOUNS]
    parts = [
        f"{units.rounded_percent(shares[1] / shares[0])} of the {noun}"
        for shares, noun in found
        if shares and shares[0]
    ]
    accuracy = _accuracy(records)
    if accuracy is not None and accuracy.change:
        parts.append(f"a change of {accuracy.change} in {accuracy.label}")
    if not parts:
        return ""
    told = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"{result_stage(records) or 'The result'} against {_origin(records)}: {told}."


def _origin(records: Sequence[Record]) -> str:
    """What the result is compared with: a smaller network in floating point with the original."""
    return "the original" if result_stage(records) == COMPRESSED else "FP32"


def _accuracy(records: Sequence[Record]) -> Card | None:
    before, after = before_and_after(records, Evaluated)
    record = after or before
    if record is None:
        return None
    # Several metrics may have been evaluated: the comparison stays within the result's own.
    group = next(group for group in metrics(records) if record in group)
    change = change_to_float(record, group)
    value = units.score(record.value, record.unit)
    if change is None:
        return Card(record.metric, value, before=record.stage)
    reference = record.value - change
    largest = max(abs(reference), abs(record.value)) or 1.0
    return Card(
        record.metric,
        value,
        before=f"{units.score(reference, record.unit)} in {_origin(records)}",
        change=units.difference(change, record.unit),
        tone=tone(change, record),
        shares=(abs(reference) / largest, abs(record.value) / largest),
    )


def _smaller_is_better(
    label: str, values: tuple[float | None, float | None], shown: tuple[str, str], origin: str = "FP32"
) -> Card | None:
    before, after = values
    if before is None or after is None:
        return None if before is after is None else Card(label, shown[1] or shown[0])
    largest = max(before, after) or 1.0
    change = units.ratio(after, before) if before else ""
    verdict = "" if after == before else "good" if after < before else "bad"
    return Card(label, shown[1], f"{shown[0]} in {origin}", change, verdict, (before / largest, after / largest))


def _size(records: Sequence[Record]) -> Card | None:
    exported, measured = before_and_after(records, Exported), before_and_after(records, Measured)
    # A file that was only exported or only measured has a size either way.
    before, after = exported[0] or measured[0], exported[1] or measured[1]
    values = (before.size_bytes if before else None, after.size_bytes if after else None)
    return _smaller_is_better(FLASH, values, _shown(values, units.size))


def _latency(records: Sequence[Record]) -> Card | None:
    before, after = before_and_after(records, Measured)
    values = (before.latency_ms if before else None, after.latency_ms if after else None)
    return _smaller_is_better("Latency", values, _shown(values, units.latency))


def _memory(records: Sequence[Record]) -> Card | None:
    """The most bytes of activations that are held at once, for one sample; a runtime's own memory comes to that."""
    before, after = before_and_after(records, Costs)
    values = (before.peak_bytes if before else None, after.peak_bytes if after else None)
    return _smaller_is_better(RAM, values, _shown(values, units.size))


def _energy(records: Sequence[Record]) -> Card | None:
    before, after = before_and_after(records, Costs)
    values = (before.energy_pj if before else None, after.energy_pj if after else None)
    return _smaller_is_better("Energy", values, _shown(values, units.energy))


def _operations(records: Sequence[Record]) -> Card | None:
    before, after = before_and_after(records, Costs)
    record = after or before
    if record is None:
        return None
    if before is not None and after is not None and before.macs != after.macs:
        shown = (units.count(before.macs), units.count(after.macs))
        return _smaller_is_better("MACs", (before.macs, after.macs), shown)
    bits = f"{units.ratio(after.bops, before.bops)} the bit operations" if before and after else "for one sample"
    return Card("MACs", units.count(record.macs), before=bits)


def _budget(records: Sequence[Record]) -> Card | None:
    """What compression spent; of a network that was quantized later only what quantizing leaves as it is."""
    record = last(records, Compressed)
    if record is None or (record.cost != "macs" and result_stage(records) != COMPRESSED):
        return None
    values = record.cost_before, record.cost_after
    shown = units.amount(values[0], record.cost_unit), units.amount(values[1], record.cost_unit)
    name = units.cost_name(record.cost)
    return _smaller_is_better(f"{name[0].upper()}{name[1:]}", values, shown, "the original")


def _shown(values: tuple[float | None, float | None], words: units.Words) -> tuple[str, str]:
    before, after = values
    return ("" if before is None else words(before), "" if after is None else words(after))
