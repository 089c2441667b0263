import numpy as np
import onnx
import pytest

from microjoule.deploy.onnx_order import has_quantizers, onnx_computation, write_onnx_order
from microjoule.deploy.onnx_order_run import compare_onnx, optimize_onnx, run_onnx_in_order
from microjoule.errors import DataError, FileError, SettingError
from tests.deploy.litert_orders import random_order
from tests.deploy.live_bytes import live_bytes
from tests.deploy.onnx_models import RandomFile, node, onnx_file

X = 2 * 8 * 8 * 4
SHAPE = ("n", 2, 8, 8)
FORK = [
    node("Abs", "x", "a"),
    node("Exp", "a", "b"),
    node("GlobalAveragePool", "b", "c"),
    node("Neg", "a", "d"),
    node("GlobalAveragePool", "d", "e"),
    node("Concat", "c e", "y", axis=1),
]
"""Two branches that need the image twice each, and give one number a channel."""

BOTH_AT_ONCE = [0, 1, 3, 2, 4, 5]
x = {"x": np.full((1, 2, 8, 8), 2, "f")}


def test_outputs_order_and_bytes_by_hand(tmp_path):
    found = run_onnx_in_order(onnx_file(tmp_path, FORK, ["y"], shape=SHAPE), x)
    assert np.allclose(found.outputs[0].reshape(-1), [np.exp(2), np.exp(2), -2, -2])
    assert found.order == (0, 1, 2, 3, 4, 5)
    assert found.follows_file
    assert (found.held_bytes, found.fullest) == (2 * X + 8, 2)


def test_the_order_decides_what_is_held(tmp_path):
    path = onnx_file(tmp_path, FORK, ["y"], shape=SHAPE)
    other = write_onnx_order(path, BOTH_AT_ONCE, tmp_path / "other.onnx")
    same, first, second = compare_onnx(path, other)
    assert same
    assert (first.held_bytes, second.held_bytes) == (2 * X + 8, 3 * X)
    assert second.follows_file


@pytest.mark.parametrize("seed", range(25))
def test_every_order_is_followed_and_holds_what_is_computed(tmp_path, seed):
    """Random files in their own order and in another: nodes, outputs, and bytes to the last one."""
    path = RandomFile(seed).written(tmp_path)
    order = random_order(onnx_computation(path), seed)
    other = write_onnx_order(path, order, tmp_path / "other.onnx")
    same, *runs = compare_onnx(path, other, samples=1, seed=seed)
    assert same
    for one, run in zip((path, other), runs, strict=True):
        assert run.follows_file
        assert run.held_bytes == live_bytes(onnx_computation(one, keeps_inputs=False))


@pytest.mark.parametrize("batch", [1, 3])
def test_the_batch_counts(tmp_path, batch):
    path = onnx_file(tmp_path, FORK, ["y"], shape=SHAPE)
    _, run, _ = compare_onnx(path, path, batch=batch, samples=1)
    assert run.held_bytes == batch * (2 * X + 8)


@pytest.mark.parametrize(
    "kind",
    [
        *("Relu", "LeakyRelu", "ThresholdedRelu", "Elu", "Celu", "Selu", "Clip", "Sigmoid", "HardSigmoid", "Tanh"),
        *("Softplus", "Softsign", "Softmax", "LogSoftmax", "Identity", "Flatten"),
        *("Abs", "Neg", "Exp", "Sqrt", "Floor", "Erf", "Sign"),
    ],
)
def test_each_operator_takes_what_is_computed(tmp_path, kind):
    """Those that write over their input, those that only call it something else, and those that do neither."""
    nodes = [node("Abs", "x", "a"), node(kind, "a", "b"), node("ReduceMean", "b", "y")]
    path = onnx_file(tmp_path, nodes, ["y"], shape=SHAPE)
    expected = 2 * X if kind in ("Abs", "Neg", "Exp", "Sqrt", "Floor", "Erf", "Sign") else X + 4
    assert live_bytes(onnx_computation(path, keeps_inputs=False)) == expected
    assert run_onnx_in_order(path, x).held_bytes == expected


def test_weights_are_not_held(tmp_path):
    weights = {"w": np.ones((2, 2, 3, 3), "f"), "b": np.ones(2, "f"), "s": np.array([1, -1], "i8")}
    nodes = [node("Conv", "x w b", "a", pads=[1] * 4), node("Reshape", "a s", "c"), node("Exp", "c", "y")]
    found = run_onnx_in_order(onnx_file(tmp_path, nodes, ["y"], shape=SHAPE, weights=weights), x)
    assert found.held_bytes == 2 * X


def test_a_workspace_shows_in_the_peak(tmp_path):
    """A convolution of 3 x 3 points takes memory while it runs."""
    weights = {"w": np.ones((2, 2, 3, 3), "f"), "v": np.ones((2, 2, 1, 1), "f")}
    wide = onnx_file(tmp_path, [node("Conv", "x w", "y", pads=[1] * 4)], ["y"], shape=SHAPE, weights=weights)
    found = run_onnx_in_order(wide, x)
    assert found.held_bytes == X
    assert found.peak_bytes > X
    plain = onnx_file(tmp_path, [node("Abs", "x", "y")], ["y"], shape=SHAPE)
    assert run_onnx_in_order(plain, x).peak_bytes == X


def test_reuse_keeps_a_dead_values_place(tmp_path):
    """The place of a waits for the next value of its size, which is h, while d of three times its size is there."""
    nodes = [
        node("Abs", "x", "a"),
        node("GlobalAveragePool", "a", "c"),
        node("Concat", "x x x", "d", axis=1),
        node("GlobalAveragePool", "d", "e"),
        node("Neg", "x", "h"),
        node("GlobalAveragePool", "h", "i"),
        node("Concat", "c e i", "y", axis=1),
    ]
    path = onnx_file(tmp_path, nodes, ["y"], shape=SHAPE)
    plain = run_onnx_in_order(path, x).held_bytes
    assert run_onnx_in_order(path, x, reuses=True).held_bytes == plain + X


def test_a_block_holds_all_from_the_first_node_on(tmp_path):
    path = onnx_file(tmp_path, FORK, ["y"], shape=SHAPE)
    plain, block = run_onnx_in_order(path, x), run_onnx_in_order(path, x, plans_block=True)
    assert block.order == plain.order
    assert block.held_bytes > plain.held_bytes
    assert np.array_equal(block.outputs[0], plain.outputs[0])


def test_shape_runs_before_its_turn_and_is_told(tmp_path):
    nodes = [node("Abs", "x", "a"), node("Shape", "x", "s"), node("Reshape", "a s", "y")]
    found = run_onnx_in_order(onnx_file(tmp_path, nodes, ["y"], shape=SHAPE), x)
    assert found.order == (1, 0, 2)
    assert not found.follows_file


def test_constants_are_not_counted(tmp_path):
    constant = node("Constant", "", "k", value_float=3.0)
    found = run_onnx_in_order(
        onnx_file(tmp_path, [constant, node("Abs", "x", "a"), node("Add", "a k", "y")], ["y"]),
        x | {"x": np.ones((1, 2, 4, 4), "f")},
    )
    assert found.order == (0, 1)
    assert found.inserted == 0


def test_a_node_that_the_runtime_takes_apart_is_told(tmp_path):
    nodes = [node("HardSwish", "x", "a"), node("Abs", "a", "y")]
    found = run_onnx_in_order(onnx_file(tmp_path, nodes, ["y"], shape=SHAPE), x)
    assert found.inserted > 0
    assert not found.follows_file


def test_other_outputs_are_told(tmp_path):
    first = onnx_file(tmp_path, [node("Abs", "x", "y")], ["y"])
    second = onnx_file(tmp_path, [node("Neg", "x", "y")], ["y"], name="other.onnx")
    assert not compare_onnx(first, second)[0]


def test_inputs_and_files_that_do_not_fit(tmp_path):
    path = onnx_file(tmp_path, FORK, ["y"], shape=SHAPE)
    with pytest.raises(DataError, match=r"model\.onnx: the inputs do not go through it"):
        run_onnx_in_order(path, {"x": np.ones((1, 3, 8, 8), "f")})
    with pytest.raises(FileError, match="ONNX Runtime does not take it"):
        run_onnx_in_order(onnx_file(tmp_path, [node("Nonsense", "x", "y")], ["y"]), x)
    for setting in ("samples", "batch"):
        with pytest.raises(SettingError, match=f"{setting}: is 0"):
            compare_onnx(path, path, **{setting: 0})


# Quantized files ------------------------------------------------------------------------------------------------------

GRID = {"s": np.float32(0.1).reshape(()), "z": np.uint8(128).reshape(())}
QUANTIZED = [
    node("QuantizeLinear", "x s z", "q"),
    node("DequantizeLinear", "q s z", "d"),
    node("Neg", "d", "n"),
    node("QuantizeLinear", "n s z", "m"),
    node("DequantizeLinear", "m s z", "e"),
    node("Add", "d e", "a"),
    node("QuantizeLinear", "a s z", "t"),
    node("DequantizeLinear", "t s z", "y"),
]
"""A sum on integers; the value d has two readers."""


def test_what_dequantizes_for_two_is_not_doubled(tmp_path):
    found = run_onnx_in_order(onnx_file(tmp_path, QUANTIZED, ["y"], shape=SHAPE, weights=GRID), x)
    assert found.follows_file


@pytest.mark.parametrize("batch", [1, 3])
def test_an_optimized_file_has_sizes_and_an_order(tmp_path, batch):
    path = onnx_file(tmp_path, QUANTIZED, ["y"], shape=SHAPE, weights=GRID)
    best = optimize_onnx(path, tmp_path / "best.onnx", batch=batch)
    computation = onnx_computation(best, keeps_inputs=False)
    assert "qlinearadd" in [one.kind for one in computation.operators]
    assert (has_quantizers(path), has_quantizers(best)) == (True, False)
    assert {one.name: one.size_bytes for one in computation.values}["n"] == batch * X
    same, run, _ = compare_onnx(best, best, samples=1, batch=batch)
    assert same
    assert run.follows_file
    assert run.held_bytes == live_bytes(computation)
    assert [one.size_bytes for one in onnx_computation(best).values if one.is_input] == [batch * X]
    names = [one.name for one in onnx.load(best).graph.value_info]
    assert "y" not in names
    assert len(names) == len(set(names))


def test_an_optimized_file_of_an_input_without_a_name_for_its_batch(tmp_path):
    path = onnx_file(tmp_path, FORK, ["y"], shape=(None, 2, 8, 8))
    best = optimize_onnx(path, tmp_path / "best.onnx", batch=2)
    assert [one.size_bytes for one in onnx_computation(best).values if one.is_input] == [2 * X]
