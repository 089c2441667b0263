"""`microjoule quantize`: a saved network with the quantizers that were asked for."""

import pytest

import microjoule as mj
from tests.cli.conftest import MODEL


def test_it_saves_a_network_with_the_bits_asked_for(document, tmp_path):
    path = tmp_path / "made.mj"
    document("quantize", MODEL, "--target", "per-tensor", "--weights", "6", "--out", path)
    network = mj.load(path)
    assert {layer.quantizer.scheme.grid.bits for layer in network.layers} == {6}
    assert all(quantizer.calibrated for quantizer in network.quantizers.values())


def test_a_layer_can_be_left_in_floating_point(document, tmp_path):
    path = tmp_path / "made.mj"
    last = mj.load(_first(document, tmp_path)).layers[-1].path
    document("quantize", MODEL, "--layer", f"{last}=none", "--out", path)
    layers = {layer.path: layer.quantizer for layer in mj.load(path).layers}
    assert [name for name, quantizer in layers.items() if quantizer is None] == [last]


def _first(document, folder):
    path = folder / "first.mj"
    document("quantize", MODEL, "--out", path)
    return path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--recipe", "naive"), "needs data"),
        (("--rule", "mse"), "there is none"),
        (("--rule", "guess", "--data", "zoo:digits_train"), "is 'guess'"),
    ],
    ids=["naive without data", "rule without data", "unknown rule"],
)
def test_settings_that_do_not_go_together_are_refused(command, tmp_path, words, message):
    code, _, err = command("quantize", MODEL, *words, "--out", tmp_path / "x.mj")
    assert code == 2
    assert message in err
    assert not (tmp_path / "x.mj").exists()
