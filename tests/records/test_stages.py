import pytest

from microjoule.records.compressed import Compressed
from microjoule.records.facts import GridPlaced, Placed, Run
from microjoule.records.machine import this_machine
from microjoule.records.stages import is_float, stage_name

COMPRESSED = Compressed("top1", "%", 80.0, 79.0, 9, "macs", "MACs", 2.0, 1.0, 1.0, (), 0, ())


def placed(*bits):
    weights = [GridPlaced("", "a", "weight", one, True, True, 1) for one in bits]
    return Placed("onnxruntime", (*weights, GridPlaced("x", "x", "activation", 8, False, False, 1)), ())


def run(recipe):
    return Run(recipe, {}, 0, 1.0, this_machine())


@pytest.mark.parametrize("stage", ["fp32", " FP32 ", "float32", "float", "original"])
def test_names_of_what_is_in_floating_point(stage):
    assert is_float(stage)


def test_other_names_are_not():
    assert not any(map(is_float, ("", "int8", "compressed", "fp32 folded")))


@pytest.mark.parametrize(
    ("history", "name"),
    [
        ([], "fp32"),
        ([COMPRESSED], "compressed"),
        ([placed(8)], "quantized W8A8"),
        ([placed(8), run("data_free")], "data-free W8A8"),
        ([COMPRESSED, placed(4, 8), run("gptq")], "gptq WxA8"),
        ([placed(8), placed(4)], "quantized W4A8"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_network_is_called_by_what_was_done_to_it(history, name):
    assert stage_name(history) == name
