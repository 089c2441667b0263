"""A place where a technique did nothing: part of many records."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Skipped:
    """A place where a technique did nothing, and why."""

    place: str
    reason: str
