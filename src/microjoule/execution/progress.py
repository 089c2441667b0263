"""A progress bar on long work, where someone is looking: none if the output is not a terminal."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from torch import Tensor
from torch.utils import _pytree as pytree

T = TypeVar("T")


class Progress:
    """A bar on standard error, as a context; it tells how far the work is, what was done last, and the time left.

    Args:
        label: what is being done.
        total: how much there is, if that is known.
        done: how much of it was found done.
    """

    def __init__(self, label: str, *, total: int | None = None, done: int = 0) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = RichProgress(*columns, console=Console(stderr=True), transient=True)
        self._shown: AbstractContextManager[object] = self._bar if sys.stderr.isatty() else nullcontext()
        self._task = self._bar.add_task(label, total=total, completed=done)

    def __enter__(self) -> "Progress":
        """Show the bar."""
        self._shown.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        """Take it away."""
        self._shown.__exit__(*error)  # type: ignore[arg-type]

    def step(self, *, by: int = 1, label: str | None = None) -> None:
        """One more is done.

        Args:
            by: how many.
            label: what to show instead of the label so far.
        """
        self._bar.update(self._task, advance=by, description=label)


def track(items: Iterable[T], label: str, *, total: int | None = None, done: int = 0) -> Iterator[T]:
    """Go through items behind a progress bar.

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
