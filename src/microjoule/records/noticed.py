"""Something about a run that its user should know: part of the history, shown in the terminal and in the report."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Noticed:
    """A warning or a note, with the three parts of an error: place, fact, remedy.

    Args:
        kind: what it is about, such as "input range", "calibration data", "classes" or "batch"; any word will do.
        place: where: an input, a layer, a data set, an option.
        fact: what was found there; lower case, with figures.
        remedy: what to do about it.
        serious: whether a result may be wrong; a note only tells what was done.
    """

    kind: str
    place: str
    fact: str
    remedy: str
    serious: bool = True

    def __str__(self) -> str:
        """Place and fact in a line, the remedy in another, as an error has them."""
        return f"{self.place}: {self.fact}\n  {self.remedy}"
