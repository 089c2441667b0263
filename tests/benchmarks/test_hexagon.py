"""What runs is scored, what is refused is named, and a missing extra leaves the figures out."""

import pytest
import torch

import microjoule as mj
from benchmarks import hexagon
from benchmarks.hexagon import figures, verified
from microjoule.errors import ExportError, SettingError
from microjoule.records.measured import LayerAgreement, Verified

RECORD = Verified("hexagon, x", "model.onnx", 200, (LayerAgreement("y", 3, 0.5, 0.8, 23.4),), "y", 0.985)


@pytest.fixture
def there(monkeypatch):
    monkeypatch.setattr(hexagon, "devices", list)


def test_without_the_extra_the_figures_are_left_out_in_one_line(monkeypatch, capsys):
    def refuse():
        raise SettingError("hexagon", "onnxruntime-qnn is not installed", remedy="install it")

    monkeypatch.setattr(hexagon, "devices", refuse)
    assert list(figures()) == []
    assert capsys.readouterr().err == "Hexagon is left out: onnxruntime-qnn is not installed\n"


def test_every_width_is_scored(there, monkeypatch):
    monkeypatch.setattr(hexagon, "verified", lambda *_: RECORD)
    share, *agreements = figures()
    assert share.state == "met"
    assert [figure.name.split()[1] for figure in agreements] == ["W8A8", "W8A16", "W4A8", "W4A16"]
    assert {(figure.value, figure.state) for figure in agreements} == {(0.985, "met")}
    assert all(figure.compared_with.endswith("200 samples; the output's SQNR is 23.4 dB") for figure in agreements)


def test_a_width_that_is_refused_is_named(there, monkeypatch):
    monkeypatch.setattr(hexagon, "verified", lambda n, x, w, a: "no such operator" if (w, a) == (4, 16) else RECORD)
    share, *agreements = figures()
    assert (share.value, share.state, share.compared_with) == (0.75, "missed", "W4A16: no such operator")
    assert len(agreements) == 3


@pytest.mark.parametrize(("weights", "packed"), [(8, False), (4, True)])
def test_the_exported_file_is_what_is_verified(monkeypatch, weights, packed):
    seen = {}
    monkeypatch.setattr(mj.recipes, "data_free", lambda network, **settings: seen.update(settings) or network)
    monkeypatch.setattr(mj, "export", lambda network, path, packed: seen.update(path=path, packed=packed))
    monkeypatch.setattr(mj, "verify", lambda network, path, images, runtimes: seen.update(read=path) or [RECORD])
    assert verified(None, torch.zeros(1), weights, 16) is RECORD
    assert (seen["target"], seen["weights"], seen["activations"]) == ("qualcomm-htp", weights, 16)
    assert seen["packed"] is packed
    assert seen["path"] == seen["read"]


def test_a_refusal_is_told_in_words(monkeypatch):
    def refuse(*_, **__):
        raise ExportError("x", "no such operator", remedy="none")

    monkeypatch.setattr(mj.recipes, "data_free", lambda network, **_: network)
    monkeypatch.setattr(mj, "export", lambda *_, **__: None)
    monkeypatch.setattr(mj, "verify", refuse)
    assert verified(None, torch.zeros(1), 8, 8) == "no such operator"
