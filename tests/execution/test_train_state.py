"""A checkpoint: written whole, read back, refused where it is another run's, damaged, or not only data."""

import io
import pickle

import pytest
import torch

from microjoule.errors import FileError
from microjoule.execution.checkpoint import FILE, Checkpoints

CPU = torch.device("cpu")


def test_what_is_written_is_read_back(tmp_path):
    Checkpoints(tmp_path / "run", "a").write({"weight": torch.arange(3), "losses": [0.5], "average": None})
    state = Checkpoints(tmp_path / "run", "a").read(CPU)
    assert torch.equal(state.pop("weight"), torch.arange(3))
    assert state == {"losses": [0.5], "average": None}


def test_the_last_one_counts(tmp_path):
    kept = Checkpoints(tmp_path, "a")
    for number in (1, 2):
        kept.write({"epoch": number})
    assert kept.read(CPU) == {"epoch": 2}
    assert sorted(path.name for path in tmp_path.iterdir()) == [FILE, "run.json"]


def test_an_empty_folder_holds_none(tmp_path):
    assert Checkpoints(tmp_path, "a").read(CPU) is None


def test_without_a_folder_nothing_is_kept():
    kept = Checkpoints(None, "a")
    kept.write({"epoch": 1})
    assert kept.read(CPU) is None


def test_another_run_is_refused(tmp_path):
    Checkpoints(tmp_path, "a").write({"epoch": 1})
    with pytest.raises(FileError, match="another run"):
        Checkpoints(tmp_path, "b")


@pytest.mark.parametrize("cut", [0, 10, 200])
def test_a_damaged_file_is_named(tmp_path, cut):
    kept = Checkpoints(tmp_path, "a")
    kept.write({"weight": torch.ones(100)})
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(FileError, match=FILE):
        kept.read(CPU)


class Trap:
    def __reduce__(self):
        return print, ("this must not run",)


def test_nothing_in_a_file_is_run(tmp_path, capsys):
    buffer = io.BytesIO()
    torch.save({"epoch": Trap()}, buffer, pickle_module=pickle)
    kept = Checkpoints(tmp_path, "a")
    (tmp_path / FILE).write_bytes(buffer.getvalue())
    with pytest.raises(FileError, match="holds more than tensors and numbers"):
        kept.read(CPU)
    assert capsys.readouterr().out == ""
