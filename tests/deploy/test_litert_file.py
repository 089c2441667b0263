from pathlib import Path

import numpy as np
import pytest

from microjoule.deploy.litert_file import BITS, WORDS, read_litert
from microjoule.errors import FileError, GraphError
from tests.deploy.litert_models import ADD, CONV, INT32, RELU, RESHAPE, SOFTMAX, Op, T, conv_options, litert_file

X = (1, 4, 4, 2)
OPS = [Op(RELU, [0], [1])]


def written(folder: Path, content: bytes) -> Path:
    path = folder / "model.tflite"
    path.write_bytes(content)
    return path


def test_a_model_by_hand(tmp_path):
    weight = np.ones((3, 2, 1, 2), "f")
    tensors = [T(X, name="x"), T((3, 2, 1, 2), weight), T((1, 2, 4, 3), name="y"), T((), name="unused", type=INT32)]
    ops = [Op(CONV, [0, 1, -1], [2], conv_options(stride=2, dilation=3))]
    model = read_litert(written(tmp_path, litert_file(tensors, ops, [0], [2])))
    assert [one.name for one in model.tensors] == ["x", "t1", "y", "unused"]
    assert [one.size_bytes for one in model.tensors] == [128, 48, 96, 4]
    assert [one.is_constant for one in model.tensors] == [False, True, False, False]
    assert (model.inputs, model.outputs) == ((0,), (2,))
    only = model.operators[0]
    assert (only.kind, only.inputs, only.outputs, only.kernel) == ("conv", (0, 1), (2,), (2, 2, 3, 3))
    assert not model.names_operators


def test_a_convolution_without_options_has_stride_and_dilation_1(tmp_path):
    tensors = [T(X), T((2, 1, 1, 2), np.ones((2, 1, 1, 2), "f")), T(X)]
    model = read_litert(written(tmp_path, litert_file(tensors, [Op(CONV, [0, 1], [2])], [0], [2])))
    assert model.operators[0].kernel == (1, 1, 1, 1)


@pytest.mark.parametrize(
    ("kind", "size"), [(0, 20), (1, 10), (3, 5), (9, 5), (6, 5), (4, 40), (11, 80), (17, 3), (19, 2)]
)
def test_a_size_is_filled_up_to_whole_bytes(tmp_path, kind, size):
    model = read_litert(written(tmp_path, litert_file([T((5,), type=kind), T((5,))], OPS, [0], [1])))
    assert model.tensors[0].size_bytes == size


def test_data_behind_the_flatbuffer_is_a_constant_too(tmp_path):
    model = read_litert(written(tmp_path, litert_file([T(X), T(X, behind=True), T(X)], OPS, [0], [2])))
    assert [one.is_constant for one in model.tensors] == [False, True, False]


def test_a_state_is_told(tmp_path):
    model = read_litert(written(tmp_path, litert_file([T(X), T(X, state=True)], OPS, [0], [1])))
    assert [one.is_state for one in model.tensors] == [False, True]


def test_a_tensor_and_an_operator_without_a_name_are_called_something(tmp_path):
    ops = [Op(150 - 1, [0], [1]), Op(32, [1], [2], custom="Mine")]
    model = read_litert(written(tmp_path, litert_file([T(X, name=""), T(X), T(X)], ops, [0], [2])))
    assert model.tensors[0].name == "tensor 0"
    assert [one.kind for one in model.operators] == ["operator_149", "Mine"]


def test_operators_that_are_named_by_their_index_are_told(tmp_path):
    content = litert_file([T(X), T(X)], OPS, [0], [1], metadata=["other", "model_control_dependencies"])
    assert read_litert(written(tmp_path, content)).names_operators


def test_no_file(tmp_path):
    with pytest.raises(FileError, match=r"none\.tflite: cannot be read"):
        read_litert(tmp_path / "none.tflite")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no model",
        litert_file([T(X), T(X)], [Op(RELU, [0], [2])], [0], [1]),
        litert_file([T(X), T(X)], [Op(RELU, [-2], [1])], [0], [1]),
        litert_file([T(X), T(X)], [Op(RELU, [0], [1])], [5], [1]),
        litert_file([T(X), T(X)], [], [0], [1]),
    ],
    ids=["empty", "something else", "a tensor too far", "a tensor below 0", "an input too far", "no operators"],
)
def test_a_damaged_file(tmp_path, content):
    with pytest.raises(FileError, match=r"model.tflite: is no TensorFlow Lite file, or a damaged one: "):
        read_litert(written(tmp_path, content))


def test_every_cut_is_refused_with_one_error(tmp_path):
    whole = litert_file([T(X), T(X, np.ones(X, "f")), T(X)], [Op(ADD, [0, 1], [2])], [0], [2])
    for length in range(len(whole)):
        with pytest.raises(FileError):
            read_litert(written(tmp_path, whole[:length]))


def test_any_changed_byte_gives_a_model_or_one_of_our_errors(tmp_path):
    whole = litert_file([T(X), T((2,), np.ones(2, "i4"), INT32), T((1, 32))], [Op(RESHAPE, [0, 1], [2])], [0], [2])
    for place in range(len(whole)):
        for changed in (0, 127, 255):
            try:
                read_litert(written(tmp_path, whole[:place] + bytes([changed]) + whole[place + 1 :]))
            except (FileError, GraphError):
                continue


def test_several_graphs_are_refused(tmp_path):
    with pytest.raises(GraphError, match="holds 2 graphs"):
        read_litert(written(tmp_path, litert_file([T(X), T(X)], OPS, [0], [1], graphs=2)))


@pytest.mark.parametrize("tensor", [T((2, -1)), T((2,), type=5)], ids=["an open size", "text"])
def test_a_tensor_without_a_size_is_refused(tmp_path, tensor):
    with pytest.raises(GraphError, match=r"tensor 't0' of shape .* has no size that is known before a run"):
        read_litert(written(tmp_path, litert_file([tensor, T(X)], OPS, [0], [1])))


def test_words_and_bits_are_those_of_the_schema():
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    numbers = {name: number for name, number in vars(schema.BuiltinOperator).items() if name.isupper()}
    special = {"concat": "CONCATENATION", "conv": "CONV_2D", "depthwise": "DEPTHWISE_CONV_2D", "sigmoid": "LOGISTIC"}
    special |= {"average_pool": "AVERAGE_POOL_2D", "max_pool": "MAX_POOL_2D", "dense": "FULLY_CONNECTED"}
    special |= {"pad_value": "PADV2", "resize_nearest": "RESIZE_NEAREST_NEIGHBOR", "split_sizes": "SPLIT_V"}
    special |= {"update_slice": "DYNAMIC_UPDATE_SLICE"}
    assert {numbers[special.get(word, word.upper())]: word for word in WORDS.values()} == WORDS
    types = {name: number for name, number in vars(schema.TensorType).items() if name.isupper()}
    sized = {name: int("".join(filter(str.isdigit, name)) or 8) for name in types if "FLOAT8" not in name}
    expected = {types[name]: bits for name, bits in sized.items() if name not in ("STRING", "RESOURCE", "VARIANT")}
    assert {**expected, types["FLOAT8_E4M3FN"]: 8, types["FLOAT8_E5M2"]: 8} == BITS


@pytest.mark.parametrize(
    "operator",
    [Op(CONV, (0,), (1,)), Op(CONV, (0, 0), ()), Op(RESHAPE, (), (1,)), Op(SOFTMAX, (0,), ()), Op(ADD, (), ())],
    ids=str,
)
def test_operators_that_lack_what_their_memory_depends_on_are_refused(tmp_path, operator):
    (tmp_path / "x.tflite").write_bytes(litert_file([T((1, 2, 2, 1)), T((1, 2, 2, 1))], [operator], [0], [1]))
    with pytest.raises(FileError, match=r"a damaged one: a \w+ has \d inputs and \d outputs"):
        read_litert(tmp_path / "x.tflite")


def test_a_device_is_not_read():
    with pytest.raises(FileError, match="is a device or a pipe"):
        read_litert("/dev/zero")
