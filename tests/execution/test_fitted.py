import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.errors import FileError
from microjoule.execution.fitted import Fitted, Kept, KeptTensors, fingerprint

LAYER = Fitted(torch.tensor([[1, -2]], dtype=torch.int32), torch.tensor([0.1]), 0.1 + 0.2, 1 / 3)


def test_a_layer_comes_back_bit_for_bit(tmp_path):
    Kept(tmp_path / "run", "a").write("features.0", LAYER)
    back = Kept(tmp_path / "run", "a").read("features.0")
    assert torch.equal(back.integers, LAYER.integers)
    assert torch.equal(back.bias, LAYER.bias)
    assert (back.error_before, back.error_after) == (LAYER.error_before, LAYER.error_after)


def test_a_weight_in_floating_point_comes_back_as_that(tmp_path):
    layer = Fitted(None, torch.tensor([0.1]), 0.5, 0.25, weight=torch.tensor([[1 / 3, -2.0]]))
    Kept(tmp_path / "run", "a").write("head", layer)
    back = Kept(tmp_path / "run", "a").read("head")
    assert back.integers is None
    assert torch.equal(back.weight, layer.weight)


def test_what_was_not_written_is_none(tmp_path):
    assert Kept(tmp_path, "a").read("features.0") is None


def test_without_a_folder_nothing_is_kept():
    kept = Kept(None, "a")
    kept.write("features.0", LAYER)
    assert kept.read("features.0") is None


def test_another_runs_folder_is_refused(tmp_path):
    Kept(tmp_path, "a")
    with pytest.raises(FileError, match="another run"):
        Kept(tmp_path, "b")


def test_a_damaged_file_is_named(tmp_path):
    Kept(tmp_path, "a").write("x", LAYER)
    (tmp_path / "x.safetensors").write_bytes(b"half")
    with pytest.raises(FileError, match=r"x\.safetensors.*damaged"):
        Kept(tmp_path, "a").read("x")


def test_a_folder_without_a_parent_is_refused(tmp_path):
    with pytest.raises(FileError, match="cannot be made"):
        Kept(tmp_path / "none" / "run", "a")


def test_the_fingerprint_tells_networks_and_settings_apart():
    network = mj.capture(nn.Sequential(nn.Linear(2, 2)), torch.zeros(2, 2))
    same, first = network.copy(), fingerprint(network, {"seed": 0})
    assert fingerprint(same, {"seed": 0}) == first
    assert fingerprint(same, {"seed": 1}) != first
    with torch.no_grad():
        same.layers[0].stored_weight[0, 0] += 1e-6
    assert fingerprint(same, {"seed": 0}) != first


def test_tensors_of_a_part_come_back_bit_for_bit(tmp_path):
    tensors = {"a/scale": torch.tensor(1 / 3), "b": torch.arange(6, dtype=torch.int32).reshape(2, 3).T}
    KeptTensors(tmp_path / "run", "a").write("block", tensors)
    back = KeptTensors(tmp_path / "run", "a").read("block")
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)
    assert KeptTensors(tmp_path / "run", "a").read("other") is None


def test_without_a_folder_no_part_is_kept():
    kept = KeptTensors(None, "a")
    kept.write("block", {"a": torch.zeros(1)})
    assert kept.read("block") is None


def test_a_damaged_part_and_another_runs_folder_are_named(tmp_path):
    KeptTensors(tmp_path, "a").write("x", {"a": torch.zeros(1)})
    (tmp_path / "x.safetensors").write_bytes(b"half")
    with pytest.raises(FileError, match=r"x\.safetensors.*damaged"):
        KeptTensors(tmp_path, "a").read("x")
    with pytest.raises(FileError, match="another run"):
        KeptTensors(tmp_path, "b")
