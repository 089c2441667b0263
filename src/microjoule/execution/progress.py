"""Progress of long work: a bar where someone is looking, and a line now and then where the output is no terminal.

Lines are for logs: they end as lines do, and come seldom enough that work of hours fills no page. Short work tells
nothing there.
"""

import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Protocol, Self, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.text import Text
from torch import Tensor
from torch.utils import _pytree as pytree

T = TypeVar("T")

FIRST_SECONDS = 10.0
"""Work that is done by then tells nothing."""

EVERY_SECONDS = 30.0
"""Between one line and the next."""


class View(Protocol):
    """How progress is shown."""

    def update(self, by: int, label: str | None) -> None:
        """So many more are done; the label is the new one, or None for that so far."""

    def close(self, *, finished: bool) -> None:
        """The work is over, done or not."""


class Progress:
    """How far work is, on standard error, as a context: what is done, how much of it, and the time left.

    Args:
        label: what is being done.
        total: how much there is, if that is known.
        done: how much of it was found done.
    """

    def __init__(self, label: str, *, total: int | None = None, done: int = 0) -> None:
        self._view: View | None = None
        self._made = (label, total, done)

    def __enter__(self) -> Self:
        """Begin to show it."""
        self._view = Bar(*self._made) if is_watched() else Lines(*self._made)
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        """Take a bar away; close what a log was told."""
        if self._view is not None:
            self._view.close(finished=kind is None)

    def step(self, *, by: int = 1, label: str | None = None) -> None:
        """One more is done.

        Args:
            by: how many.
            label: what to show instead of the label so far.
        """
        if self._view is not None:
            self._view.update(by, label)

    def tell(self, label: str) -> None:
        """Nothing more is done, but there is something to tell."""
        self.step(by=0, label=label)


def is_watched() -> bool:
    """Whether standard error is a terminal that can move its cursor; FORCE_COLOR does not make a log one."""
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


class Bar:
    """A bar on a terminal."""

    def __init__(self, label: str, total: int | None, done: int) -> None:
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), _Count(), TimeRemainingColumn())
        self._bar = RichProgress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task(label, total=total, completed=done)
        self._bar.start()

    def update(self, by: int, label: str | None) -> None:
        """Move it."""
        self._bar.update(self._task, advance=by, description=label)

    def close(self, *, finished: bool) -> None:
        """Take it away."""
        del finished
        self._bar.stop()


class _Count(MofNCompleteColumn):
    """How many of how many; nothing where nothing is counted."""

    def render(self, task: Task) -> Text:
        return super().render(task) if task.total is not None or task.completed else Text()


class Lines:
    """A line now and then in a log."""

    def __init__(self, label: str, total: int | None, done: int) -> None:
        self._label, self._total, self._done, self._found = label, total, done, done
        self._started = time.monotonic()
        self._next = self._started + FIRST_SECONDS
        self._told = False

    def update(self, by: int, label: str | None) -> None:
        """Print a line if it is time to."""
        self._done += by
        self._label = label or self._label
        now = time.monotonic()
        if now >= self._next:
            self._next, self._told = now + EVERY_SECONDS, True
            _print(f"{self._label}: {self._amount()}{_duration(now - self._started)}{self._left(now)}")

    def close(self, *, finished: bool) -> None:
        """Say that it is done, if lines said that it was not."""
        if self._told and finished:
            _print(f"{self._label}: done in {_duration(time.monotonic() - self._started)}")

    def _amount(self) -> str:
        if self._total is not None:
            return f"{self._done:,} of {self._total:,}, "
        return f"{self._done:,}, " if self._done else ""

    def _left(self, now: float) -> str:
        made = self._done - self._found
        if self._total is None or made <= 0:
            return ""
        return f", about {_duration((now - self._started) / made * max(self._total - self._done, 0))} left"


def _print(line: str) -> None:
    with suppress(OSError, ValueError):  # a log that takes no more is no reason to stop the work
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def _duration(seconds: float) -> str:
    if seconds >= 3600:
        return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s" if seconds >= 60 else f"{seconds:.0f} s"


def track(items: Iterable[T], label: str, *, total: int | None = None, done: int = 0) -> Iterator[T]:
    """Go through items and show how far one is.

    Args:
        items: what to go through; an item that holds tensors counts as its samples, any other as one.
        label: what is being done.
        total: how many there are, if that is known, with those that were found done.
        done: how many were found done, and are not among the items.
    """
    with Progress(label, total=total, done=done) as progress:
        for item in items:
            yield item
            progress.step(by=_size(item))


def _size(item: object) -> int:
    tensor = next((leaf for leaf in pytree.tree_leaves(item) if isinstance(leaf, Tensor) and leaf.dim()), None)
    return 1 if tensor is None else int(tensor.shape[0])
