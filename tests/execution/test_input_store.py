import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from microjoule.execution.batches import batches
from microjoule.execution.input_store import KeptInputs
from microjoule.execution.store import Store


@pytest.mark.parametrize("limit", [0, 2**20])
def test_inputs_are_kept_as_they_came_though_the_data_is_shuffled(limit, monkeypatch):
    monkeypatch.setattr(Store.__init__, "__defaults__", (limit,))
    data = TensorDataset(torch.arange(10.0)[:, None], torch.arange(10))
    loader = DataLoader(data, batch_size=4, shuffle=True)
    kept = KeptInputs(batches(loader))
    assert (len(kept), kept.samples) == (3, 10)
    first = [kept[number][0] for number in range(3)]
    again = [kept[number][0] for number in range(3)]
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    assert torch.cat(first).flatten().sort().values.tolist() == list(range(10))
    with pytest.raises(IndexError):
        kept[3]


def test_nested_inputs_keep_their_form():
    kept = KeptInputs(batches([({"a": torch.ones(2, 3)}, torch.zeros(2, 1))]))
    (batch,) = list(kept)
    assert batch[0]["a"].shape == (2, 3)
    assert torch.equal(batch[1], torch.zeros(2, 1))
