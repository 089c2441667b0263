import pytest

from microjoule.costs.target import WORDS, names, parse, target
from microjoule.errors import SettingError, TargetError
from microjoule.numerics.grid import Interval, IntGrid

TEXT = """
name = "mine"
description = "a chip"
accumulator_bits = 24
[weights]
bits = [4, 8]
signed = true
symmetric = true
per_channel = true
[activations]
bits = [8]
signed = false
symmetric = false
power_of_two = true
[operators]
integer = ["conv"]
fused = ["relu"]
fusing = ["conv"]
passing = ["max_pool"]
sharing = []
"""


@pytest.mark.parametrize("name", names())
def test_every_target_that_is_shipped_can_be_read(name):
    found = target(name)
    assert found.name == name
    assert found.description
    assert {"conv", "linear"} <= found.integer
    assert found.weight_scheme(None, 0).grid.bits == found.weight_bits[0]


@pytest.mark.parametrize("name", names())
def test_a_shipped_target_takes_each_width_that_it_names(name):
    found = target(name)
    assert [found.weight_scheme(bits, 0).grid.bits for bits in found.weight_bits] == list(found.weight_bits)
    assert [found.activation_scheme(bits).grid.bits for bits in found.activation_bits] == list(found.activation_bits)


def test_the_five_targets_are_there():
    assert names() == ["onnxruntime", "per-tensor", "qualcomm-htp", "tflite-micro", "xnnpack"]


def test_onnxruntime_takes_unsigned_activations_and_signed_weights_per_channel():
    found = target("onnxruntime")
    assert found.weights.axis == 0
    assert found.weights.symmetric
    assert found.weights.grid == IntGrid(8, narrow=True)
    assert found.activations.grid == IntGrid(8, signed=False)


def test_per_tensor_has_one_scale_a_weight_whatever_its_axis():
    assert target("per-tensor").weight_scheme(8, 1).axis is None


def test_the_words_name_operators_and_not_bookkeeping():
    assert {"conv", "lstm", "relu", "concat"} <= WORDS
    assert not WORDS & {"size", "constant", "quantizer", "output"}


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(TEXT)
    found = target(path)
    assert target(found) is found
    assert found.weight_scheme(None, 1).axis == 1
    assert found.weight_scheme(8, 0).grid == IntGrid(8)
    assert found.activation_scheme(None).power_of_two
    assert found.accumulator_bits == 24
    assert dict(found.fixed)["softmax"] == Interval(0, 1, open_end=True)
    assert found.demanded == found.unrounded == frozenset()


def test_a_file_says_what_grids_its_kernels_demand():
    found = parse(f"{TEXT}" + 'unrounded = ["matmul"]\n[fixed]\ntanh = "[-1, 1)"', "mine")
    assert dict(found.fixed)["tanh"] == Interval(-1, 1, open_end=True)
    assert dict(found.fixed)["sigmoid"] == Interval(0, 1)
    assert (found.demanded, found.unrounded) == ({"tanh"}, {"matmul"})


@pytest.mark.parametrize("bits", [3, 16])
def test_a_width_that_the_target_lacks_is_refused(bits):
    with pytest.raises(TargetError, match=rf"target mine: takes weights of 4, 8 bits, got {bits}"):
        parse(TEXT, "mine").weight_scheme(bits, 0)


@pytest.mark.parametrize("bits", [0, 17])
def test_a_width_that_no_grid_has_is_refused(bits):
    with pytest.raises(SettingError, match="1 to 16 bits"):
        parse(TEXT, "mine").activation_scheme(bits)


@pytest.mark.parametrize(
    ("before", "after", "fact"),
    [
        ('name = "mine"', "", "KeyError.'name'"),
        ("bits = [4, 8]", "bits = [4, 17]", "1 to 16 bits, got 17"),
        ("bits = [4, 8]", "bits = []", "names no width"),
        ("bits = [4, 8]", "bits = 8", "TypeError"),
        ('integer = ["conv"]', 'integer = ["convolution"]', "operators.integer names convolution"),
        ("accumulator_bits = 24", "accumulator_bits = 'x'", "invalid literal"),
        ("sharing = []", 'sharing = []\n[fixed]\nconv = "[0, 1]"', "fixed names conv"),
        ("sharing = []", 'sharing = []\n[fixed]\ntanh = "1"', "interval: got"),
        ("sharing = []", 'sharing = []\nunrounded = ["mat"]', "operators.unrounded names mat"),
        ("[weights]", "[weights", "TOMLDecodeError"),
        ("signed = true\n", "signed = false\nnarrow = true\n", "narrow"),
    ],
)
def test_a_damaged_target_is_refused(before, after, fact):
    assert before in TEXT
    with pytest.raises(TargetError, match=rf"mine\.toml: .*({fact})"):
        parse(TEXT.replace(before, after, 1), "mine.toml")


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(TargetError, match=r"tpu: is no target\n  use one of onnxruntime, per-tensor"):
        target("tpu")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(TargetError, match="cannot be read"):
        target(tmp_path / "none.toml")


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TargetError, match="cannot be read"):
        target(path)
