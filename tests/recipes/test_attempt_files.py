import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.errors import FileError
from microjoule.recipes.attempt_files import AttemptFiles
from tests.report.samples import reached


def test_records_and_networks_come_back(tmp_path):
    files, network = AttemptFiles(tmp_path), mj.capture(nn.Sequential(nn.Linear(4, 3)), torch.rand(2, 4))
    assert files.records("a") == []
    assert files.network("a") is None
    files.keep_records("a", list(reached().attempts))
    files.keep_network("a", network)
    assert files.records("a") == list(reached().attempts)
    assert files.network("a").state_dict().keys() == network.state_dict().keys()


def test_names_that_look_the_same_in_a_file_are_told_apart(tmp_path):
    files = AttemptFiles(tmp_path)
    files.keep_records("a b", list(reached().attempts))
    assert files.records("a/b") == []
    assert files.layers("a b") != files.layers("a/b")


def test_a_damaged_file_is_named(tmp_path):
    files = AttemptFiles(tmp_path)
    files.keep_records("a", [])
    next(tmp_path.glob("*.json")).write_bytes(b"\xff")
    with pytest.raises(FileError, match="is damaged"):
        files.records("a")
