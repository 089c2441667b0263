"""What a command line calls data."""

import numpy as np
import pytest

from microjoule.cli.data import Reading, find_data
from microjoule.cli.models import find_model
from microjoule.errors import DataError, FileError, SettingError
from tests.cli.conftest import MODEL

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
