"""One record in words, as the report's history has it."""

from dataclasses import dataclass

from microjoule.records.facts import Skipped


@dataclass(frozen=True, slots=True)
class Step:
    """One record in words.

    Args:
        title: what was done.
        summary: the outcome, in a line.
        details: (name, value) of what a reader may ask next.
        skipped: where it did nothing, and why.
    """

    title: str
    summary: str
    details: tuple[tuple[str, str], ...] = ()
    skipped: tuple[Skipped, ...] = ()
