"""Which of many records a question is about."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import TypeVar

from microjoule.records.facts import Calibrated, Placed, Record
from microjoule.records.measured import Costs, Evaluated, Exported, Measured
from microjoule.records.stages import FLOAT_NAMES, is_float

Kind = TypeVar("Kind")


def every(records: Sequence[Record], kind: type[Kind]) -> list[Kind]:
    """All records of a kind, in order."""
    return [record for record in records if isinstance(record, kind)]


def last(records: Sequence[Record], kind: type[Kind]) -> Kind | None:
    """The latest record of a kind, or None."""
    found = every(records, kind)
    return found[-1] if found else None


def calibrations(records: Sequence[Record]) -> list[Calibrated]:
    """Every calibration since the last placement, each with those of its ranges that no later one replaced."""
    placed = max((at for at, record in enumerate(records) if isinstance(record, Placed)), default=-1)
    found = every(records[placed + 1 :], Calibrated)
    latest = {one.name: at for at, record in enumerate(found) for one in record.ranges}
    kept = [
        replace(record, ranges=tuple(one for one in record.ranges if latest[one.name] == at))
        for at, record in enumerate(found)
    ]
    return [record for record in kept if record.ranges]


def stage_of(record: Costs | Evaluated | Exported | Measured) -> str:
    """The stage that a record names; for a file without one, its name says whether it is FP32."""
    if record.stage or isinstance(record, Costs | Evaluated):
        return record.stage
    name = PurePath(record.path).name
    return "fp32" if any(word in name.lower() for word in FLOAT_NAMES) else ""


def result_stage(records: Sequence[Record]) -> str | None:
    """The stage that the headline is about: that of the latest exported file, else the latest evaluated one."""
    stages = [record.stage for record in every(records, Evaluated) if not is_float(record.stage)]
    exported = [record.stage for record in every(records, Exported) if record.stage in stages]
    found = exported or stages
    return found[-1] if found else None


StagedKind = TypeVar("StagedKind", Costs, Evaluated, Exported, Measured)


def before_and_after(records: Sequence[Record], kind: type[StagedKind]) -> tuple[StagedKind | None, StagedKind | None]:
    """The record of the FP32 network and that of the result; each None if there is none."""
    staged = every(records, kind)
    before = [record for record in staged if is_float(stage_of(record))]
    after = [record for record in staged if not is_float(stage_of(record))]
    result = result_stage(records)
    named = [record for record in after if stage_of(record) == result]
    return (before[-1] if before else None), ((named or after)[-1] if after else None)
