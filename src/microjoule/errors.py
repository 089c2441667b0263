"""The one family of errors: each gives the place, the fact and the remedy."""

from functools import partial
from typing import Any


class MicrojouleError(Exception):
    """Something that the user can mend.

    Args:
        place: where it happened: a file, a layer, an argument, a line of the user's code.
        fact: what is wrong there; lower case, with what was got and what was expected.
        remedy: what to do about it.
    """

    def __init__(self, place: str, fact: str, *, remedy: str) -> None:
        super().__init__(f"{place}: {fact}\n  {remedy}")
        self.place = place
        self.fact = fact
        self.remedy = remedy

    def __reduce__(self) -> tuple[Any, ...]:
        """As copied to another process, which a keyword would not reach."""
        return partial(type(self), self.place, self.fact, remedy=self.remedy), ()


class SettingError(MicrojouleError, ValueError):
    """An argument has a value that it cannot have."""


class FileError(MicrojouleError):
    """A file is missing, damaged, or cannot be written."""


class DataError(MicrojouleError):
    """The data is empty, not finite, or has the wrong shape."""


class CaptureError(MicrojouleError):
    """A model cannot be captured as a network."""


class GraphError(MicrojouleError):
    """A network does not have what an edit needs."""


class ExportError(MicrojouleError):
    """A network cannot be written for a runtime."""


class TargetError(MicrojouleError):
    """A target's description is wrong, or the network has what the target lacks."""


class MicrojouleWarning(UserWarning):
    """A result may be wrong: the message gives the place, the fact and the remedy, as an error does."""


class InputRangeWarning(MicrojouleWarning):
    """The range of a network's inputs is not known, or two sources of it contradict each other."""


class DataWarning(MicrojouleWarning):
    """The data looks as if it were not what the network was trained for."""
