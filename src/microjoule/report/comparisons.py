"""The difference of two networks in words: how large, how sure, and how many samples would decide."""

from collections.abc import Sequence

from microjoule.records.compared import SAME, UNKNOWN, Compared
from microjoule.records.measured import Evaluated
from microjoule.records.stages import ORIGINAL, is_float
from microjoule.report import units
from microjoule.report.units import many


def change(compared: Compared) -> str:
    """The difference with its standard error: "-0.46 ± 0.71 points"."""
    return units.with_error(compared.difference, compared.standard_error, compared.unit)


def counts(compared: Compared) -> str:
    """Samples won and lost, of how many: "9 won, 12 lost of 650"."""
    if compared.won is None or compared.lost is None:
        return f"on {many(compared.samples, 'sample')}"
    return f"{compared.won:,} won, {compared.lost:,} lost of {compared.samples:,}"


def seen(compared: Compared) -> str:
    """What the difference shows, and where it shows nothing, what would."""
    if compared.verdict == UNKNOWN:
        return f"{UNKNOWN}: {compared.method}"
    needed = compared.samples_to_decide
    if compared.verdict != SAME or needed is None or needed <= compared.samples:
        return compared.verdict
    return f"{SAME}; about {units.rough(needed)} samples would tell"


def sentence(record: Evaluated) -> str:
    """An evaluation beside what it is compared with, or why it is not compared.

    Args:
        record: of the network.
    """
    told = f"{record.stage}: {record.metric} {units.score(record.value, record.unit)}"
    compared = record.compared
    if compared is None:
        apart = f"; not compared with the network in floating point: {record.apart}" if record.apart else ""
        return f"{told} on {many(record.samples, 'sample')}{apart}."
    reference = f"{shown(compared.reference)} {units.score(compared.reference_value, compared.unit)}"
    return f"{told} ({reference}): {change(compared)}, {counts(compared)}: {seen(compared)}."


def shown(stage: str) -> str:
    """What a stage is called in a sentence."""
    return f"the {stage}" if stage == ORIGINAL else "FP32" if is_float(stage) else stage


def to_float(record: Evaluated, group: Sequence[Evaluated]) -> Compared | float | None:
    """What a stage differs by from the network in floating point: with its error, or where that is not known without.

    Args:
        record: of the stage.
        group: evaluations by the same metric on the same data.

    Returns:
        None for the network in floating point, and where that was not scored.
    """
    if record.compared is not None and is_float(record.compared.reference):
        return record.compared
    reference = [other.value for other in group if is_float(other.stage)]
    return record.value - reference[-1] if reference and not is_float(record.stage) else None


def tone(found: Compared | float | None) -> str:
    """What to think of a difference: only one that is beyond its error is good or bad."""
    if not isinstance(found, Compared):
        return ""
    return {"better": "good", "worse": "bad"}.get(found.verdict, "")
