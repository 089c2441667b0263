import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from microjoule.deploy.onnx_order import has_quantizers, onnx_computation, write_onnx_order
from microjoule.errors import FileError, GraphError, SettingError
from microjoule.scheduling.computation import Computation
from tests.deploy.live_bytes import live_bytes
from tests.deploy.onnx_models import FLOAT, node, onnx_file

X = 2 * 4 * 4 * 4
BRANCHES = [
    node("Abs", "x", "a"),
    node("Exp", "x", "b"),
    node("Concat", "a b", "c", axis=1),
    node("Conv", "c w", "y"),
]
WEIGHTS = {"w": np.ones((3, 4, 1, 1), "f")}


def of(folder, nodes, outputs, **keywords) -> Computation:
    settings = {key: keywords.pop(key) for key in ("batch", "keeps_inputs") if key in keywords}
    return onnx_computation(onnx_file(folder, nodes, outputs.split(), **keywords), **settings)


def test_values_and_operators_by_hand(tmp_path):
    found = of(tmp_path, BRANCHES, "y", weights=WEIGHTS)
    assert found.name == "model"
    assert [(one.name, one.size_bytes) for one in found.values] == [
        *(("x", X), ("a", X), ("b", X), ("c", 2 * X), ("y", 3 * 4 * 4 * 4)),
    ]
    assert [one.is_input for one in found.values] == [True, False, False, False, False]
    assert [one.is_output for one in found.values] == [False, False, False, False, True]
    assert [(one.name, one.kind, one.inputs, one.outputs) for one in found.operators] == [
        ("make a", "abs", (0,), (1,)),
        ("make b", "exp", (0,), (2,)),
        ("make c", "concat", (1, 2), (3,)),
        ("make y", "conv", (3,), (4,)),
    ]
    assert not any(one.is_view or one.workspace_bytes or one.inplace is not None for one in found.operators)


def test_a_depthwise_convolution_is_called_one(tmp_path):
    weights = {"w": np.ones((2, 1, 3, 3), "f"), "v": np.ones((2, 1, 1, 1), "f")}
    nodes = [node("Conv", "x w", "a", group=2), node("Conv", "a v", "y", group=2)]
    assert [one.kind for one in of(tmp_path, nodes, "y", weights=weights).operators] == ["depthwise"] * 2
    grouped = {"w": np.ones((4, 2, 1, 1), "f")}
    nodes = [node("Conv", "x w", "y", group=2)]
    assert of(tmp_path, nodes, "y", weights=grouped, shape=(1, 4, 2, 2)).operators[0].kind == "conv"


@pytest.mark.parametrize("shape", [("n", 2, 4, 4), (None, 2, 4, 4), (5, 2, 4, 4)], ids=["named", "open", "fixed"])
def test_the_batch_goes_where_the_size_is_open(tmp_path, shape):
    found = of(tmp_path, [node("Abs", "x", "y")], "y", shape=shape, batch=3)
    assert [one.size_bytes for one in found.values] == [X * (5 if shape[0] == 5 else 3)] * 2


def test_the_batch_goes_wherever_its_name_is(tmp_path):
    inputs = [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in (("x", ["n", 2]), ("m", [2, "n"]))]
    found = of(tmp_path, [node("MatMul", "x m", "y")], "y", inputs=inputs, batch=5)
    assert [one.size_bytes for one in found.values] == [40, 40, 100]


def test_sizes_of_another_batch_in_the_file_give_way(tmp_path):
    path = onnx_file(tmp_path, [node("Abs", "x", "a"), node("Exp", "a", "y")], ["y"])
    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    assert model.graph.value_info[0].type.tensor_type.shape.dim[0].dim_param == "n"
    onnx.save(model, path)
    assert [one.size_bytes for one in onnx_computation(path, batch=2).values] == [2 * X] * 3


@pytest.mark.parametrize(
    ("kind", "size"),
    [("FLOAT", 20), ("FLOAT16", 10), ("BFLOAT16", 10), ("INT8", 5), ("BOOL", 5), ("INT64", 40), ("INT4", 3)],
)
def test_the_size_of_a_type(tmp_path, kind, size):
    inputs = [helper.make_tensor_value_info("x", getattr(TensorProto, kind), [5])]
    assert of(tmp_path, [node("Cast", "x", "y", to=FLOAT)], "y", inputs=inputs).values[0].size_bytes == size


@pytest.mark.parametrize("kind", ["Identity", "Flatten", "Squeeze", "Unsqueeze", "Reshape"])
def test_a_view_is_one_unless_the_caller_gets_it(tmp_path, kind):
    extra = " s" if kind in ("Reshape", "Squeeze", "Unsqueeze") else ""
    weights = {"s": np.array([2, 16] if kind == "Reshape" else [0], "i8")}
    nodes = [node("Abs", "x", "a"), node(kind, "a" + extra, "b"), node("Exp", "b", "y")]
    assert [one.is_view for one in of(tmp_path, nodes, "y", weights=weights, shape=(1, 2, 4, 4)).operators] == [
        *(False, True, False),
    ]
    assert not any(one.is_view for one in of(tmp_path, nodes, "y b", weights=weights, shape=(1, 2, 4, 4)).operators)


def test_inputs_outside_are_no_values_and_views_of_them_cost_nothing(tmp_path):
    nodes = [node("Flatten", "x", "a"), node("Identity", "a", "b"), node("Relu", "b", "c"), node("Exp", "c", "y")]
    found = of(tmp_path, nodes, "y", keeps_inputs=False)
    assert [(one.name, one.size_bytes) for one in found.values] == [("a", 0), ("b", 0), ("c", X), ("y", X)]
    assert found.operators[0].inputs == ()
    assert [one.inplace for one in found.operators] == [None, None, None, None]


@pytest.mark.parametrize(
    ("nodes", "outputs", "expected"),
    [
        ([node("Abs", "x", "a"), node("Relu", "a", "b"), node("Exp", "b", "y")], "y", 1),
        ([node("Abs", "x", "a"), node("Exp", "a", "b"), node("Exp", "b", "y")], "y", None),
        ([node("Abs", "x", "a"), node("Relu", "a", "y")], "y", None),
        ([node("Abs", "x", "a"), node("Relu", "a", "b"), node("Exp", "b", "y")], "a y", None),
        ([node("Identity", "x", "a"), node("Relu", "x", "b"), node("Add", "a b", "y")], "y", None),
    ],
    ids=["relu", "exp does not", "not where the caller looks", "not what is wanted", "not the caller's input"],
)
def test_what_is_written_over(tmp_path, nodes, outputs, expected):
    assert of(tmp_path, nodes, outputs).operators[1].inplace == expected


def test_constants_are_neither_steps_nor_values(tmp_path):
    constant = helper.make_node("Constant", [], ["k"], value=onnx.numpy_helper.from_array(np.ones(4, "f")))
    found = of(tmp_path, [node("Abs", "x", "a"), constant, node("Add", "a k", "y")], "y")
    assert [one.name for one in found.values] == ["x", "a", "y"]
    assert [one.inputs for one in found.operators] == [(0,), (1,)]


def test_inputs_left_out_and_named_twice(tmp_path):
    lone = helper.make_node("Clip", ["x", "", "k"], ["a"])
    found = of(tmp_path, [lone, node("Add", "a a", "y")], "y", weights={"k": np.float32(6).reshape(())})
    assert [one.inputs for one in found.operators] == [(0,), (1,)]


def test_an_open_size_beside_the_batch_is_refused(tmp_path):
    with pytest.raises(GraphError, match=r"model\.onnx: x: has an open size beside the batch"):
        of(tmp_path, [node("Abs", "x", "y")], "y", shape=("n", 2, "h", 4))


def test_a_size_that_only_a_run_tells_is_refused(tmp_path):
    with pytest.raises(GraphError, match=r"make a: 'a' has no size that is known before a run"):
        of(tmp_path, [node("NonZero", "x", "a"), node("Cast", "a", "y", to=1)], "y")


def test_a_node_with_a_graph_of_its_own_is_refused(tmp_path):
    wanted = helper.make_tensor_value_info("t", FLOAT, None)
    branch = helper.make_graph([node("Abs", "x", "t")], "branch", [], [wanted])
    nodes = [node("If", "k", "y", then_branch=branch, else_branch=branch)]
    with pytest.raises(GraphError, match="make y: runs a graph of its own"):
        of(tmp_path, nodes, "y", weights={"k": np.array([True])})


def test_nodes_out_of_order_are_refused(tmp_path):
    with pytest.raises(GraphError, match="make y: reads 'a', which nobody made before"):
        of(tmp_path, [node("Exp", "a", "y"), node("Abs", "x", "a")], "y")


def test_wrong_settings_and_files_are_refused(tmp_path):
    with pytest.raises(SettingError, match="batch: is 0"):
        onnx_computation(tmp_path / "none.onnx", batch=0)
    with pytest.raises(FileError, match=r"none\.onnx: cannot be read"):
        onnx_computation(tmp_path / "none.onnx")
    with pytest.raises(GraphError, match="make y: 'y' has no size"):
        of(tmp_path, [node("Concat", "x w", "y", axis=9)], "y", weights=WEIGHTS)


def test_shapes_that_onnx_does_not_find_are_refused(tmp_path, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise ValueError("too large\nby far")

    monkeypatch.setattr(onnx.shape_inference, "infer_shapes", fail)
    with pytest.raises(FileError, match=r"model\.onnx: its shapes cannot be found: too large\n"):
        of(tmp_path, BRANCHES, "y", weights=WEIGHTS)


# Another order --------------------------------------------------------------------------------------------------------


def test_only_the_order_changes(tmp_path):
    path = onnx_file(tmp_path, BRANCHES, ["y"], weights=WEIGHTS)
    before, after = onnx.load(path), onnx.load(write_onnx_order(path, [1, 0, 2, 3], tmp_path / "other.onnx"))
    assert [one.name for one in after.graph.node] == ["make b", "make a", "make c", "make y"]
    for model in (before, after):
        model.graph.node.sort(key=lambda one: one.name)
    assert before.SerializeToString(deterministic=True) == after.SerializeToString(deterministic=True)


def test_constants_come_first(tmp_path):
    constant = helper.make_node("Constant", [], ["k"], value=onnx.numpy_helper.from_array(np.ones(4, "f")))
    path = onnx_file(tmp_path, [node("Abs", "x", "a"), constant, node("Add", "a k", "y")], ["y"])
    kinds = [one.op_type for one in onnx.load(write_onnx_order(path, [0, 1], path)).graph.node]
    assert kinds == ["Constant", "Abs", "Add"]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ([0, 1, 2], "has 4 nodes beside constants, and the order names 3"),
        ([0, 1, 2, 2], "name each node once"),
        ([0, 2, 1, 3], "make c: comes before make b, which it needs"),
    ],
)
def test_an_order_that_cannot_be(tmp_path, order, expected):
    with pytest.raises(GraphError, match=expected):
        write_onnx_order(onnx_file(tmp_path, BRANCHES, ["y"], weights=WEIGHTS), order, tmp_path / "other.onnx")
    assert not (tmp_path / "other.onnx").exists()


# Files with quantizers ------------------------------------------------------------------------------------------------

QDQ = {"s": np.array(0.1, "f"), "z": np.array(0, "u1"), "ws": np.array(0.1, "f"), "wz": np.array(0, "i1")}
QDQ |= {"w": np.ones((3, 2, 1, 1), "i1")}


def quantized_nodes(*, activation=()):
    """A convolution between two grids, with its weight dequantized."""
    last = "r" if activation else "c"
    return [
        node("QuantizeLinear", "x s z", "xq"),
        node("DequantizeLinear", "xq s z", "xf"),
        node("DequantizeLinear", "w ws wz", "wf"),
        node("Conv", "xf wf", "c"),
        *activation,
        node("QuantizeLinear", f"{last} s z", "yq"),
        node("DequantizeLinear", "yq s z", "y"),
    ]


@pytest.mark.parametrize("activation", [(), (node("Relu", "c", "r"),)], ids=["none", "relu"])
def test_a_file_with_quantizers_is_counted_as_integers(activation, tmp_path):
    """x has 2 x 4 x 4 bytes as integers, the convolution gives 3 x 4 x 4, and the output is in floating point."""
    found = of(tmp_path, quantized_nodes(activation=activation), "y", weights=QDQ, keeps_inputs=False)
    sizes = {one.name: one.size_bytes for one in found.values}
    assert (sizes["xq"], sizes["xf"], sizes["wf"], sizes["c"]) == (32, 0, 0, 48)
    assert sizes["y"] == 4 * 48
    assert live_bytes(found) == 48 + 4 * 48


def test_a_real_value_between_grids_takes_its_bytes(tmp_path):
    """It has two readers, so it cannot be put into integers at once."""
    nodes = [*quantized_nodes(), node("Exp", "c", "e")]
    found = of(tmp_path, nodes, "y e", weights=QDQ, keeps_inputs=False)
    sizes = {one.name: one.size_bytes for one in found.values}
    assert (sizes["c"], sizes["yq"], sizes["e"]) == (4 * 48, 48, 4 * 48)


def test_the_order_of_a_file_with_quantizers_counts_every_node(tmp_path):
    path = onnx_file(tmp_path, quantized_nodes(), ["y"], weights=QDQ)
    found = onnx_computation(path, keeps_inputs=False)
    assert len(found.operators) == 6
    write_onnx_order(path, [2, 0, 1, 3, 4, 5], tmp_path / "other.onnx")


def test_which_files_have_quantizers(tmp_path):
    assert has_quantizers(onnx_file(tmp_path, quantized_nodes(), ["y"], weights=QDQ))
    assert not has_quantizers(onnx_file(tmp_path, BRANCHES, ["y"], weights=WEIGHTS))
