"""The inputs of every batch, kept: in memory up to a limit, on disk beyond it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch.utils import _pytree as pytree

from microjoule.execution.batches import Batches
from microjoule.execution.binding import Batch
from microjoule.execution.store import Store
from microjoule.jobs.identity import DataFacts


class KeptInputs(Sequence[tuple[Any, ...]]):
    """The inputs of every batch, gone through once and kept: shuffled data would give others the next time.

    Args:
        data: inputs; targets are not kept.
        facts: is told of every batch, if it is given.
    """

    def __init__(self, data: Batches, facts: DataFacts | None = None) -> None:
        self.samples = 0
        self._store = Store()
        self._forms: list[pytree.TreeSpec] = []
        for number, (inputs, _) in enumerate(data):
            leaves, form = pytree.tree_flatten(inputs)
            for place, leaf in enumerate(leaves):
                self._store.put((number, place), leaf)
            self._forms.append(form)
            self.samples += data.count(inputs)
            if facts is not None:
                facts.add(inputs)
        self._source = replace(data, samples=self.samples, labelled=False, bind=None, settled=True)

    def batches(self) -> Batches:
        """The same inputs, to be gone through again and again."""
        return replace(self._source, start=lambda: (Batch(inputs, None) for inputs in self))

    def __len__(self) -> int:
        """How many batches there are."""
        return len(self._forms)

    def __getitem__(self, number: Any) -> Any:
        """A batch's inputs."""
        form = self._forms[number]
        return pytree.tree_unflatten([self._store.get((number, place)) for place in range(form.num_leaves)], form)
