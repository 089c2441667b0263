"""Weights from sound files only, and random ones from a seed."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from microjoule.errors import FileError
from microjoule.zoo.weights import checked, filled, seeded


def test_weights_with_other_names_are_refused(tmp_path: Path) -> None:
    save_file({"other": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(FileError, match="does not fit Linear"):
        filled(nn.Linear(1, 1), tmp_path / "w.safetensors")


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"damaged")
    with pytest.raises(FileError, match=r"w\.safetensors: is not a safetensors file"):
        filled(nn.Linear(1, 1), tmp_path / "w.safetensors")


@pytest.mark.parametrize("text", ["{", "[]", '{"files_sha256": {"w.safetensors": 1}}'])
def test_a_damaged_manifest_is_named(tmp_path: Path, text: str) -> None:
    save_file({"other": torch.zeros(1)}, tmp_path / "w.safetensors")
    (tmp_path / "MANIFEST.json").write_text(text)
    with pytest.raises(FileError, match=r"MANIFEST\.json: cannot be read as a manifest"):
        filled(nn.Linear(1, 1), tmp_path / "w.safetensors")


def test_names_of_the_file_may_be_translated(tmp_path: Path) -> None:
    save_file({"w": torch.full((1, 1), 2.0), "b": torch.full((1,), 3.0)}, tmp_path / "w.safetensors")
    module = filled(nn.Linear(1, 1), tmp_path / "w.safetensors", {"w": "weight", "b": "bias"}.__getitem__)
    assert module(torch.tensor([1.0])).tolist() == [5]
    assert not module.training


def test_a_file_changed_after_it_was_found_sound_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"sound")
    checksum = hashlib.sha256(b"sound").hexdigest()
    (tmp_path / "MANIFEST.json").write_text(json.dumps({"files_sha256": {"a.bin": {"sha256": checksum}}}))
    assert checked(path) == path
    path.write_bytes(b"damaged")
    with pytest.raises(FileError, match="has the checksum"):
        checked(path)


def test_a_file_that_its_manifest_does_not_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"")
    (tmp_path / "MANIFEST.json").write_text('{"files_sha256": {}}')
    with pytest.raises(FileError, match=r"is not listed in MANIFEST\.json"):
        checked(tmp_path / "a.bin")


def test_random_batch_norms_do_something() -> None:
    norm = seeded(lambda: nn.BatchNorm2d(4))
    x = torch.randn(2, 4, 3, 3)
    assert not torch.allclose(norm(x), x, atol=0.1)
    assert not norm.training


def test_seeds_differ() -> None:
    assert not torch.equal(seeded(lambda: nn.Linear(2, 2), 0).weight, seeded(lambda: nn.Linear(2, 2), 1).weight)
