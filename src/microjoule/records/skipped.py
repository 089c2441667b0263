"""A place where a technique did nothing: part of many records."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Skipped:
    """A place where a technique did nothing, and why."""

    place: str
    reason: str

    @property
    def name(self) -> str:
        """The place, by the word that most records have for what they are about."""
        return self.place
