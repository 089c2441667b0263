from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from microjoule.errors import FileError
from microjoule.execution.batches import batches
from microjoule.execution.store import KeptInputs, Store
from microjoule.numerics.affine import affine_from_range, fake_quantize
from microjoule.numerics.grid import IntGrid, Scheme


def test_what_goes_in_comes_out():
    store = Store()
    store.put("x", torch.arange(6.0))
    store.put("size", 7)
    assert torch.equal(store.get("x"), torch.arange(6.0))
    assert store.get("size") == 7
    assert "x" in store
    store.drop("x")
    assert "x" not in store
    assert store.used_bytes == 0


def test_beyond_the_limit_values_lie_on_disk_until_they_are_dropped(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store = Store(limit_bytes=100)
    store.put("small", torch.ones(20))
    store.put("large", torch.arange(30.0))
    assert store.used_bytes == 80
    (file,) = tmp_path.glob("*/*.npy")
    assert torch.equal(store.get("large"), torch.arange(30.0))
    store.drop("large")
    assert not file.exists()
    folder = file.parent
    del store
    assert not folder.exists()


@pytest.mark.parametrize("bits", [2, 8, 16])
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("limit", [0, 2**20])
def test_values_on_a_grid_come_back_bit_for_bit(bits, signed, limit):
    affine = affine_from_range(torch.tensor(-1.3), torch.tensor(2.7), Scheme(IntGrid(bits, signed=signed)))
    x = fake_quantize(4 * torch.randn(1000, generator=torch.Generator().manual_seed(0)), affine)
    store = Store(limit_bytes=limit)
    store.put("x", x, affine)
    assert torch.equal(store.get("x"), x)
    assert store.used_bytes == (0 if limit == 0 else x.numel() * (1 if bits <= 8 else 2 if signed else 4))


def test_a_full_disk_is_one_clear_error(monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numpy.save", full)
    with pytest.raises(FileError, match=r"No space left.*\n.*fewer samples"):
        Store(limit_bytes=0).put("x", torch.ones(3))


def test_no_pickle_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store = Store(limit_bytes=0)
    store.put("x", torch.ones(3))
    (file,) = tmp_path.glob("*/*.npy")
    Path(file).write_bytes(b"\x80\x04]\x94.")
    with pytest.raises(ValueError, match="pickle"):
        store.get("x")


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
