"""What the user of a network should know: warnings first, as a section of the page, and as lines on a terminal."""

from collections.abc import Sequence

from microjoule.records.facts import Record
from microjoule.records.noticed import Noticed
from microjoule.report.choose import every
from microjoule.report.step import Step
from microjoule.report.tables import Cell, Column, Table, word


def notices(records: Sequence[Record]) -> list[Noticed]:
    """Every notice once, warnings before notes."""
    found = list(dict.fromkeys(every(records, Noticed)))
    return sorted(found, key=lambda one: not one.serious)


def notices_table(records: Sequence[Record]) -> Table:
    """A row a notice: what it is about, where, what was found, and what to do; warnings are marked as bad."""
    columns = tuple(Column(title) for title in ("about", "where", "what", "what to do"))
    rows = tuple(
        (word(one.kind), word(one.place), Cell(one.fact, one.fact, tone="bad" if one.serious else ""), word(one.remedy))
        for one in notices(records)
    )
    return Table("Warnings and notes", columns, rows)


def notices_text(records: Sequence[Record]) -> str:
    """How many warnings and notes there are, in a sentence."""
    warnings = sum(one.serious for one in notices(records))
    if not warnings:
        return "Nothing here is a warning."
    return (
        f"{warnings} warning{'' if warnings == 1 else 's'}: a result on this page may be wrong until they are settled."
    )


def noticed_step(record: Noticed) -> Step:
    """A notice among the steps of a run."""
    title = "Warning" if record.serious else "Note"
    return Step(title, f"{record.place}: {record.fact}", (("to do", record.remedy),))
