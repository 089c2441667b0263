"""What a command line calls data."""

import numpy as np
import pytest

from microjoule.cli.data import Reading, find_data
from microjoule.cli.models import find_model
from microjoule.errors import DataError, FileError, SettingError
from tests.cli.conftest import MODEL
from tests.zoo.conftest import encoded, write_zip

PLAIN = Reading(None, None, None, None)


def test_arrays_are_read_with_their_labels(tmp_path):
    path = tmp_path / "some.npz"
    np.savez(path, x=np.zeros((5, 1, 8, 8), np.float32), y=np.arange(5))
    found = find_data(str(path), find_model(MODEL), PLAIN)
    assert found.labelled
    assert sum(len(targets) for _, targets in found) == 5


def test_a_file_without_x_or_that_is_missing_is_refused(tmp_path):
    path = tmp_path / "some.npz"
    np.savez(path, z=np.zeros(3))
    with pytest.raises((DataError, FileError), match=r"some\.npz"):
        list(find_data(str(path), find_model(MODEL), PLAIN))
    with pytest.raises((FileError, SettingError, DataError), match="nowhere"):
        find_data("nowhere.npz", find_model(MODEL), PLAIN)


def test_a_set_of_another_size_is_refused_although_the_network_would_run(quantized, tmp_path):
    (tmp_path / "mnist").mkdir()
    np.savez(tmp_path / "mnist" / "test.npz", x=np.zeros((3, 28, 28), np.uint8), y=np.zeros(3, np.uint8))
    with pytest.raises(DataError, match=r"inputs of shape \(1, 28, 28\), and the network takes \(1, 8, 8\)"):
        find_data("zoo:mnist", find_model(str(quantized)), Reading(None, None, None, tmp_path))


def test_images_of_super_resolution_have_sizes_of_their_own(tmp_path):
    (tmp_path / "sr").mkdir()
    small, large = np.zeros((3, 5, 3), np.uint8), np.zeros((6, 10, 3), np.uint8)
    files = {"Set5/x2/a_HR.png": encoded(large), "Set5/x2/a_LR.png": encoded(small)}
    write_zip(tmp_path / "sr" / "sr_x2.zip", files)
    ((inputs, _),) = find_data("zoo:sr", find_model(MODEL), Reading(None, None, None, tmp_path))
    assert inputs[0].shape == (1, 1, 3, 5)
