"""`microjoule quantize`: a saved network with the quantizers that were asked for."""

from dataclasses import replace

import onnx
import pytest

import microjoule as mj
from tests.cli.conftest import MODEL


def test_it_saves_a_network_with_the_bits_asked_for(document, tmp_path):
    path = tmp_path / "made.mj"
    document("quantize", MODEL, "--target", "per-tensor", "--weights", "6", "--out", path)
    network = mj.load(path)
    assert {layer.quantizer.scheme.grid.bits for layer in network.layers} == {6}
    assert all(quantizer.calibrated for quantizer in network.quantizers.values())


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["gptq", "adaround", "qdrop"])
def test_recipes_that_fit_need_data_and_keep_their_layers(recipe, command, document, tmp_path):
    path, folder = tmp_path / "x.mj", tmp_path / "kept"
    code, _, err = command("quantize", MODEL, "--recipe", recipe, "--out", path)
    assert (code, "give --data" in err) == (2, True)
    words = ["--weights", 3, "--data", "zoo:digits_train", "--samples", 32, "--work-folder", folder, "--out", path]
    document("quantize", MODEL, "--recipe", recipe, *words)
    network = mj.load(path)
    assert {layer.quantizer.scheme.grid.bits for layer in network.layers} == {3}
    assert len(list(folder.glob("*.safetensors"))) == len(network.layers)


def test_a_work_folder_for_a_recipe_that_keeps_nothing_is_refused(command, tmp_path):
    code, _, err = command("quantize", MODEL, "--work-folder", tmp_path / "kept", "--out", tmp_path / "x.mj")
    assert (code, "--work-folder" in err) == (2, True)


@pytest.mark.slow
def test_mixed_bits_within_a_budget(document, tmp_path):
    path = tmp_path / "x.mj"
    words = ["--candidates", "W2A8,W4A8,W8A8", "--data", "zoo:digits_train", "--samples", 64, "--out", path]
    document("quantize", MODEL, "--recipe", "mixed", "--budget", "W5A8", *words)
    network = mj.load(path)
    assert len({layer.quantizer.scheme.grid.bits for layer in network.layers}) > 1
    uniform = network.copy()
    for layer in uniform.layers:
        layer.quantizer.scheme = replace(layer.quantizer.scheme, grid=replace(layer.quantizer.scheme.grid, bits=5))
    assert mj.costs(network).bops <= mj.costs(uniform).bops


@pytest.mark.slow
@pytest.mark.parametrize("cost", ["bytes", "energy"])
def test_mixed_bits_by_another_cost(cost, document, tmp_path):
    path = tmp_path / "x.mj"
    words = ["--cost", cost, "--data", "zoo:digits_train", "--samples", 16, "--out", path]
    document("quantize", MODEL, "--recipe", "mixed", "--budget", "1e12", *words)
    assert {layer.quantizer.scheme.grid.bits for layer in mj.load(path).layers} == {8}


@pytest.mark.slow
def test_the_suffix_says_what_is_written(command, tmp_path):
    """An .onnx is the integer model and no network under a name that says something else."""
    code, out, err = command("quantize", MODEL, "--target", "per-tensor", "--out", tmp_path / "x.onnx")
    assert (code, err) == (0, "")
    assert "Wrote data-free W8A8 as" in out
    assert "--out x.mj" in out
    operators = {node.op_type for node in onnx.load(tmp_path / "x.onnx").graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= operators
