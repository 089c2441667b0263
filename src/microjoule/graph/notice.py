"""Telling the user of a network what may be wrong with it: in its history, and as a warning of Python's."""

import sys
import warnings
from pathlib import Path
from types import FrameType

from microjoule.errors import DataWarning, InputRangeWarning, MicrojouleWarning
from microjoule.graph.network import Network
from microjoule.records.noticed import Noticed

RANGE = "input range"
DATA = "data"
CLASSES = "classes"
BATCH = "batch"

CATEGORIES: dict[str, type[MicrojouleWarning]] = {RANGE: InputRangeWarning, DATA: DataWarning, CLASSES: DataWarning}
"""Kind of a notice -> category of the warning; that of any other kind is `MicrojouleWarning`."""

PACKAGE = str(Path(__file__).parents[1])


def notice(network: Network, noticed: Noticed) -> None:
    """Add a notice to a network's history, once; a serious one is raised as a warning of Python's, too.

    Args:
        network: whose history it belongs to.
        noticed: what to tell.
    """
    if noticed in network.history:
        return
    network.history.append(noticed)
    if noticed.serious:
        category = CATEGORIES.get(noticed.kind, MicrojouleWarning)
        warnings.warn(category(str(noticed)), stacklevel=_users_level())


def _users_level() -> int:
    """How many frames above `notice` the first one outside this package is, so that the warning names that line."""
    frame: FrameType | None = sys._getframe(1)
    level = 1
    while frame is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame, level = frame.f_back, level + 1
    return level if frame is not None else 1
