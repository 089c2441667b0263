from pathlib import Path

import pytest
import torch

from microjoule.errors import FileError
from microjoule.execution.store import Store
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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.bool, torch.int64])
def test_a_type_that_numpy_lacks_comes_back_from_disk_as_well(dtype):
    store = Store(limit_bytes=0)
    value = torch.tensor([0.0, 1.0, 1.0, 0.0]).to(dtype)
    store.put("x", value)
    assert store.get("x").dtype == dtype
    assert torch.equal(store.get("x").float(), value.float())


def test_a_tensor_with_a_gradient_can_be_put_on_disk():
    store = Store(limit_bytes=0)
    store.put("x", torch.ones(3, requires_grad=True))
    assert torch.equal(store.get("x"), torch.ones(3))
