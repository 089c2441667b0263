import pytest
import torch
from torch import nn

from microjoule.capture.export import capture
from microjoule.errors import DataError
from microjoule.recipes.data_free import data_free, naive
from microjoule.recipes.report import report
from tests.quantization.networks import conv


@pytest.fixture(scope="module")
def networks():
    network = capture(nn.Sequential(conv(), nn.ReLU(), conv()).eval(), torch.randn(2, 4, 8, 8))
    return network, data_free(network, input_range=(-4, 4)), naive(network, torch.randn(4, 4, 8, 8))


@pytest.fixture
def drawn(monkeypatch):
    """The records that a page would be drawn from."""
    seen = []
    monkeypatch.setattr("microjoule.recipes.report.write_report", lambda records, path, title: seen.append(records))
    return seen


def test_a_network_becomes_a_page(networks, tmp_path):
    path = report(networks[1], tmp_path / "report.html", title="A small one")
    assert path == tmp_path / "report.html"
    assert "A small one" in path.read_text(encoding="utf-8")


def test_a_networks_records_are_its_history(networks, drawn, tmp_path):
    report(networks[1], tmp_path / "report.html")
    assert drawn == [networks[1].history]


def test_what_two_networks_have_in_common_comes_once(networks, drawn, tmp_path):
    common, one, other = (network.history for network in networks)
    report(networks[1:], tmp_path / "report.html")
    assert drawn == [[*common, *one[len(common) :], *other[len(common) :]]]


def test_equal_records_of_two_runs_are_both_kept(networks, drawn, tmp_path):
    again = networks[1].copy()
    again.history = [*again.history[:-1], type(again.history[-1])("data_free", {}, 0, 1.0, again.history[-1].machine)]
    report([networks[1], again], tmp_path / "report.html")
    assert drawn[0] == [*networks[1].history, again.history[-1]]


def test_records_alone_will_do(networks, drawn, tmp_path):
    report(networks[1].history[:2], tmp_path / "report.html")
    assert drawn == [networks[1].history[:2]]


def test_nothing_is_refused(tmp_path):
    with pytest.raises(DataError):
        report([], tmp_path / "report.html")
    assert not list(tmp_path.iterdir())
