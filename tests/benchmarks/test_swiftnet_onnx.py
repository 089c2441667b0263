"""The translation to ONNX: its equations by hand, small files by hand, SwiftNet against LiteRT, and what is refused."""

import math
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from benchmarks import runtimes, swiftnet_onnx
from benchmarks.swiftnet_onnx import Grid, channels_first, grid_of, same_padding, to_onnx, within, write_giving
from microjoule.deploy import litert_run
from microjoule.deploy.litert_file import UINT8, read_litert
from microjoule.deploy.litert_run import run_litert
from microjoule.errors import GraphError
from tests.deploy.litert_models import ADD, CONCAT, CONV, INT32, MUL, SPLIT, Op, T, litert_file

GRID = (0.5, 128)
OPTIONS = {0: ("Int8", 0), 1: ("Int32", 2), 2: ("Int32", 1), 3: ("Int8", 1)}
"""SAME padding, two points to the right and one down, ReLU."""


@pytest.mark.parametrize(
    ("axis", "expected"),
    [((224, 7, 4), (1, 2)), ((28, 3, 1), (1, 1)), ((56, 2, 2), (0, 0)), ((5, 3, 2), (1, 1)), ((9, 3, 1, 2), (2, 2))],
)
def test_same_padding_by_hand(axis, expected):
    assert same_padding(*axis) == expected


@pytest.mark.parametrize("size", range(1, 12))
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_same_padding_gives_the_size_over_the_stride(size, stride):
    padded = size + sum(same_padding(size, 3, stride))
    assert (padded - 3) // stride + 1 == math.ceil(size / stride)


def test_a_grid_by_hand():
    assert Grid(0.5, 128).values(np.array([0, 128, 255], np.uint8)).tolist() == [-64.0, 0.0, 63.5]
    assert Grid(0.5, 128).range == (-64.0, 63.5)


def test_ranges_and_shapes():
    assert within((-64.0, 63.5), (0.0, math.inf)) == (0.0, 63.5)
    assert channels_first((1, 2, 3, 4)) == (1, 4, 2, 3)
    assert channels_first((1, 2)) == (1, 2)


def value(shape, data=None, scale=GRID):
    return T(shape, data, UINT8 if data is None or data.dtype == np.uint8 else INT32, grid=scale)


def convolving(weight: np.ndarray, operator: int = CONV, grid=GRID, options=None) -> bytes:
    """A convolution of (1, 2, 3, 1) to (1, 2, 2, 2), one point down and two to the right."""
    tensors = [
        value((1, 2, 3, 1)),
        value(weight.shape, weight, (1.0, 100)),
        value((2,), np.array([2, -4], np.int32), (0.5, 0)),
        value((1, 2, 2, 2), scale=grid),
    ]
    return litert_file(tensors, [Op(operator, [0, 1, 2], [3], OPTIONS if options is None else options)], [0], [3])


def ran(path: Path, x: np.ndarray, **settings) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        to_onnx(path, **settings).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def written(folder: Path, content: bytes) -> Path:
    path = folder / "x.tflite"
    path.write_bytes(content)
    return path


WEIGHT = np.full((2, 1, 3, 1), 100, np.uint8)
WEIGHT[0, 0, :, 0] = 101, 102, 104  # 1, 2, 4 on the grid
WEIGHT[1, 0, 1, 0] = 99
X = np.array([[[[1.0, 2.0, 3.0], [-1.0, -2.0, 40.0]]]], np.float32)


def test_a_convolution_by_hand(tmp_path):
    """Three points from left to right at places 0 and 2 with a 0 on either side; biases 1 and -2; then from 0 to 63.5.

    First filter: 0*1 + 1*2 + 2*4 + 1 = 11 and 2*1 + 3*2 + 0*4 + 1 = 9; below -9 and 79. Second: -x - 2.
    """
    found = ran(written(tmp_path, convolving(WEIGHT)), X)
    assert found.tolist() == [[[[11.0, 9.0], [0.0, 63.5]], [[0.0, 0.0], [0.0, 0.0]]]]


def test_rounding_takes_the_nearest_point(tmp_path):
    found = ran(written(tmp_path, convolving(WEIGHT)), X + 0.05, rounds=True)  # 11.3 on steps of a half
    assert found[0, 0, 0].tolist() == [11.5, 9.0]


def test_small_files_give_what_litert_gives(tmp_path):
    pytest.importorskip("ai_edge_litert", reason="needs LiteRT: pip install 'microjoule[litert]'")
    path = written(tmp_path, convolving(WEIGHT))
    x = np.random.default_rng(0).integers(60, 180, (1, 2, 3, 1), np.uint8)
    found = ran(path, Grid(*GRID).values(x).transpose(0, 3, 1, 2), rounds=True)
    integers = run_litert(path, [x], kernels="reference")[0]
    assert np.array_equal(found.transpose(0, 2, 3, 1), Grid(*GRID).values(integers))
    assert len(np.unique(integers)) > 2


def joined(kind, options, grids=(GRID, GRID)):
    shapes = [(1, 2, 3, 1), (1, 2, 3, 1), (1, 2, 3, 2) if kind == CONCAT else (1, 2, 3, 1)]
    tensors = [value(shape, scale=grid) for shape, grid in zip(shapes, (*grids, GRID), strict=True)]
    return litert_file(tensors, [Op(kind, [0, 1], [2], options)], [0, 1], [2])


def test_channels_are_joined_on_the_second_axis(tmp_path):
    model = to_onnx(written(tmp_path, joined(CONCAT, {0: ("Int32", -1)})))
    assert [(node.op_type, node.attribute[0].i) for node in model.graph.node] == [("Concat", 1)]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (joined(MUL, {}), "computes mul, which is not translated"),
        (joined(ADD, {0: ("Int8", 4)}), "has activation 4"),
        (joined(CONCAT, {0: ("Int32", 3)}, (GRID, (0.25, 0))), "changes scales"),
        (convolving(WEIGHT, grid=None), "has 0 scales and 0 zeros"),
        (
            litert_file(
                [T((), np.array(3, np.int32), INT32), value((1, 2, 2, 2)), value((1, 2, 2, 1)), value((1, 2, 2, 1))],
                [Op(SPLIT, [0, 1], [2, 3], {0: ("Int32", 2)})],
                [1],
                [2, 3],
            ),
            "splits into 2 parts",
        ),
    ],
    ids=["unknown", "activation", "scales", "reals", "split"],
)
def test_what_is_not_translated_is_refused(tmp_path, content, match):
    with pytest.raises(GraphError, match=match):
        to_onnx(written(tmp_path, content))


def test_another_tensor_is_given(tmp_path):
    path = written(tmp_path, convolving(WEIGHT))
    model = read_litert(write_giving(path, 0, tmp_path / "y.tflite"))
    assert model.outputs == (0,)
    assert len(model.content) == path.stat().st_size


def test_a_file_of_two_outputs_has_none_exchanged(tmp_path):
    content = litert_file([value((1,)), value((1,)), value((1,))], [Op(ADD, [0, 1], [2], {})], [0, 1], [1, 2])
    with pytest.raises(GraphError, match="has 2 outputs"):
        write_giving(written(tmp_path, content), 0, tmp_path / "y.tflite")


def off_litert(path: Path, image: np.ndarray, folder: Path) -> float:
    """How many steps the rounded translation's last map is off LiteRT's."""
    which = runtimes.last_map(path)
    expected = run_litert(write_giving(path, which, folder / "map.tflite"), [image])[0]
    grid, [x] = grid_of(path, which), runtimes.fed(path, image).values()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    model = to_onnx(path, rounds=True, gives=(which,)).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: x})[0].transpose(0, 2, 3, 1)
    return float(np.abs(found / grid.scale + grid.zero - expected).mean())


def test_swiftnet_is_translated_and_a_wrong_padding_would_show(data_folder, tmp_path, monkeypatch):
    if litert_run.litert is None:
        pytest.skip("needs LiteRT: pip install 'microjoule[litert]'")
    path, image = data_folder / runtimes.SWIFTNET, runtimes.images(data_folder)[0]
    assert off_litert(path, image, tmp_path) <= 2
    monkeypatch.setattr(swiftnet_onnx, "same_padding", lambda *axis: same_padding(*axis)[::-1])
    assert off_litert(path, image, tmp_path) > 4
