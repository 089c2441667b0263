"""Records that join a saved network's history."""

import pytest

import microjoule as mj
from microjoule.cli.keep import history_keeper, keep, write_network
from microjoule.errors import FileError
from microjoule.records.measured import ErrorsByLayer


@pytest.mark.slow
def test_a_record_is_written_back_with_the_network(quantized):
    network = history_keeper(quantized)
    keep(network, quantized, [ErrorsByLayer(3, ())])
    assert mj.load(quantized).history[-1] == ErrorsByLayer(3, ())


def test_nothing_is_kept_where_nothing_was_asked():
    assert history_keeper(None) is None
    keep(None, None, [ErrorsByLayer(3, ())])


def test_a_path_that_is_no_saved_network_is_refused_at_once(tmp_path):
    with pytest.raises(FileError):
        history_keeper(tmp_path / "nowhere.mj")
    with pytest.raises(FileError, match="no file that microjoule saved"):
        history_keeper(tmp_path / "x.pt2")


@pytest.mark.slow
def test_a_network_is_written_as_its_suffix_says(quantized, tmp_path):
    network = mj.load(quantized)
    assert write_network(network, tmp_path / "x.mj", "int8") == f"Saved int8 as {tmp_path / 'x.mj'}"
    assert mj.load(tmp_path / "x.mj").layers[0].path == network.layers[0].path
    told = write_network(network, tmp_path / "x.onnx", "int8")
    assert (
        told == f"Wrote int8 as {tmp_path / 'x.onnx'}; to verify or report it later, save the network, too: --out x.mj"
    )
    assert len(mj.load(tmp_path / "x.mj").history) == len(network.history) - 1
