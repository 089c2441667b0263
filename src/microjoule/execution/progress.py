"""A progress bar on long work, where someone is looking: none if the output is not a terminal."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from torch.utils import _pytree as pytree

T = TypeVar("T")


def track(items: Iterable[T], label: str, *, total: int | None = None) -> Iterator[T]:
    """Go through items behind a progress bar on standard error.

    Args:
        items: what to go through; an item that holds tensors counts as its samples, any other as one.
        label: what is being done.
        total: how many there are, if that is known.
    """
    if not sys.stderr.isatty():
        yield from items
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(label, total=total)
        for item in items:
            yield item
            progress.advance(task, _size(item))


def _size(item: object) -> int:
    tensor = next((leaf for leaf in pytree.tree_leaves(item) if isinstance(leaf, Tensor) and leaf.dim()), None)
    return 1 if tensor is None else int(tensor.shape[0])
