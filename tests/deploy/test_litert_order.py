import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from microjoule.deploy.litert_file import read_litert
from microjoule.deploy.litert_order import (
    OPTIMIZED_KERNELS,
    REFERENCE_KERNELS,
    Accounting,
    _reordered,
    litert_computation,
    write_litert_order,
)
from microjoule.errors import FileError, GraphError
from microjoule.scheduling.computation import Computation
from microjoule.scheduling.cut_out import cut_out
from microjoule.scheduling.files import read_graph
from tests.deploy.litert_models import (
    ADD,
    CONCAT,
    CONV,
    MUL,
    RELU,
    RESHAPE,
    SOFTMAX,
    SQUEEZE,
    Op,
    T,
    conv_options,
    litert_file,
)
from tests.deploy.live_bytes import live_bytes

X = (1, 4, 4, 2)
BRANCHES = litert_file(
    [T(X), T(X), T(X), T((1, 4, 4, 4)), T((1, 4, 4, 4))],
    [Op(RELU, [0], [1]), Op(RELU, [0], [2]), Op(CONCAT, [1, 2], [3], {0: ("Int32", 3)}), Op(RELU, [3], [4])],
    [0],
    [4],
)
VIEWS = Accounting(concatenation_is_view=True)
SWIFTNET = Path("scheduling", "swiftnet_vww_uint8.tflite")
GRAPHS = Path("scheduling", "graphs")
CELLS = {"a": range(5, 33), "b": range(34, 57), "c": range(58, 82)}
"""Where SwiftNet's three cells lie in the file."""


def written(folder: Path, content: bytes) -> Path:
    path = folder / "model.tflite"
    path.write_bytes(content)
    return path


def of(folder: Path, tensors, ops, inputs, outputs, accounting=None) -> Computation:
    return litert_computation(written(folder, litert_file(tensors, ops, inputs, outputs)), accounting)


def test_values_and_operators_by_hand(tmp_path):
    found = litert_computation(written(tmp_path, BRANCHES))
    assert found.name == "model"
    assert [(one.name, one.size_bytes) for one in found.values] == [
        (f"t{i}", s) for i, s in enumerate([128] * 3 + [256] * 2)
    ]
    assert [one.is_input for one in found.values] == [True, False, False, False, False]
    assert [one.is_output for one in found.values] == [False, False, False, False, True]
    steps = [(one.name, one.kind, one.inputs, one.outputs) for one in found.operators]
    assert steps == [
        ("t1", "relu", (0,), (1,)),
        ("t2", "relu", (0,), (2,)),
        ("t3", "concat", (1, 2), (3,)),
        ("t4", "relu", (3,), (4,)),
    ]
    assert not any(one.is_view or one.workspace_bytes or one.inplace is not None for one in found.operators)


def test_a_concatenation_is_a_view_if_asked_for(tmp_path):
    found = litert_computation(written(tmp_path, BRANCHES), VIEWS)
    assert [one.is_view for one in found.operators] == [False, False, True, False]


@pytest.mark.parametrize("parts", [(1, 1), (1, 2)], ids=["of the same twice", "of a constant"])
def test_a_concatenation_that_must_copy_is_no_view(tmp_path, parts):
    tensors = [T(X), T(X), T(X, np.ones(X, "f")), T((1, 4, 4, 4))]
    ops = [Op(RELU, [0], [1]), Op(CONCAT, parts, [3], {0: ("Int32", 3)})]
    assert not of(tmp_path, tensors, ops, [0], [3], VIEWS).operators[1].is_view


def test_a_constant_and_an_input_left_out_are_no_values(tmp_path):
    tensors = [T(X), T((2, 1, 1, 2), np.ones((2, 1, 1, 2), "f")), T(X)]
    found = of(tmp_path, tensors, [Op(CONV, [0, 1, -1], [2], conv_options())], [0], [2])
    assert [one.name for one in found.values] == ["t0", "t2"]
    assert found.operators[0].inputs == (0,)


def test_what_is_read_twice_is_named_once(tmp_path):
    assert of(tmp_path, [T(X), T(X)], [Op(ADD, [0, 0], [1])], [0], [1]).operators[0].inputs == (0,)


@pytest.mark.parametrize(
    ("inputs", "outputs", "expected"),
    [([0], [3], True), ([0, 1], [3], False), ([0], [2, 3], False)],
    ids=["between", "of the caller's input", "to the caller"],
)
@pytest.mark.parametrize("code", [RESHAPE, SQUEEZE])
def test_a_reshape_is_a_view_unless_it_is_the_callers(tmp_path, code, inputs, outputs, expected):
    ops = [Op(RELU, [0], [1]), Op(code, [1], [2]), Op(RELU, [2], [3])][1 if 1 in inputs else 0 :]
    found = of(tmp_path, [T(X)] * 4, ops, inputs, outputs)
    assert [one.is_view for one in found.operators if one.kind in ("reshape", "squeeze")] == [expected]


def overwritten(folder: Path, code: int, *, ops=(), inputs=(0,), outputs=(4,), tensors=(), operands=(1, 2)):
    """Which tensor the operator writes over that makes tensor 3 of 1 and 2, both made of 0."""
    ops = [Op(RELU, [0], [1]), Op(RELU, [0], [2]), Op(code, operands, [3]), Op(RELU, [3], [4]), *ops]
    found = of(folder, [*([T(X)] * 5), *tensors], ops, inputs, outputs, REFERENCE_KERNELS)
    return found.operators[2].inplace


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ({"code": ADD}, 1),
        ({"code": MUL}, 1),
        ({"code": SOFTMAX, "operands": (2,)}, 2),
        ({"code": RELU, "operands": (2,)}, None),
        ({"code": ADD, "ops": [Op(RELU, [1], [5])], "tensors": [T(X)], "outputs": (4, 5)}, 2),
        ({"code": ADD, "outputs": (1, 4)}, 2),
        ({"code": ADD, "outputs": (3, 4)}, None),
        ({"code": ADD, "operands": (1, 1)}, None),
        ({"code": ADD, "operands": (0, 2)}, 2),
    ],
    ids=[
        *("a sum", "a product", "a softmax", "a relu does not", "not what others read", "not what is wanted"),
        *("not where the caller looks", "not what it reads twice", "not the caller's input"),
    ],
)
def test_what_is_written_over(tmp_path, case, expected):
    assert overwritten(tmp_path, **case) == expected


def test_nothing_is_written_over_unless_it_is_counted(tmp_path):
    content = litert_file([T(X)] * 4, [Op(RELU, [0], [1]), Op(SOFTMAX, [1], [2]), Op(RELU, [2], [3])], [0], [3])
    plain, counted = (litert_computation(written(tmp_path, content), one) for one in (None, REFERENCE_KERNELS))
    assert [one.inplace for one in plain.operators] == [None, None, None]
    assert [one.inplace for one in counted.operators] == [None, 1, None]


@pytest.mark.parametrize("shape", [(1,), (2,)], ids=["4 bytes", "8 bytes"])
def test_a_single_number_is_not_written_over(tmp_path, shape):
    ops = [Op(RELU, [0], [1]), Op(SOFTMAX, [1], [2]), Op(RELU, [2], [3])]
    found = of(tmp_path, [T(shape)] * 4, ops, [0], [3], REFERENCE_KERNELS)
    assert found.operators[1].inplace == (1 if shape == (2,) else None)


def test_what_lies_below_a_view_is_not_written_over_if_others_read_it(tmp_path):
    ops = [Op(RELU, [0], [1]), Op(SQUEEZE, [1], [2]), Op(ADD, [2, 2], [3]), Op(SOFTMAX, [2], [4]), Op(ADD, [3, 4], [5])]
    ops_alone = [Op(RELU, [0], [1]), Op(SQUEEZE, [1], [2]), Op(SOFTMAX, [2], [4]), Op(RELU, [4], [5])]
    assert of(tmp_path, [T(X)] * 6, ops, [0], [5], REFERENCE_KERNELS).operators[3].inplace is None
    assert of(tmp_path, [T(X)] * 6, ops_alone, [0], [5], REFERENCE_KERNELS).operators[2].inplace == 2
    both = [Op(RELU, [0], [1]), Op(SQUEEZE, [1], [2]), Op(SOFTMAX, [2], [3]), Op(MUL, [1, 3], [5])]
    assert of(tmp_path, [T(X)] * 6, both, [0], [5], REFERENCE_KERNELS).operators[2].inplace is None


def test_litert_keeps_inputs_and_what_nobody_reads(tmp_path):
    ops = [Op(RELU, [0], [1]), Op(RELU, [0], [2])]
    plain = of(tmp_path, [T(X)] * 3, ops, [0], [1])
    kept = of(tmp_path, [T(X)] * 3, ops, [0], [1], REFERENCE_KERNELS)
    assert [one.is_output for one in plain.values] == [False, True, False]
    assert [one.is_output for one in kept.values] == [True, True, True]


def test_a_state_is_there_from_start_to_end(tmp_path):
    found = of(tmp_path, [T(X), T(X, state=True), T(X)], [Op(ADD, [0, 1], [2])], [0], [2])
    assert (found.values[1].is_input, found.values[1].is_output) == (True, True)


@pytest.mark.parametrize(
    ("width", "stride", "dilation", "expected"),
    [(1, 1, 1, 0), (3, 1, 1, 16 * 18 * 4), (1, 2, 1, 4 * 2 * 4), (3, 1, 2, 16 * 18 * 4)],
    ids=["a point", "3 x 3", "a stride", "dilated"],
)
def test_the_workspace_of_a_convolution(tmp_path, width, stride, dilation, expected):
    weight = np.ones((5, width, width, 2), "f")
    tensors = [T(X), T(weight.shape, weight), T((1, 4 // stride, 4 // stride, 5))]
    ops = [Op(CONV, [0, 1, -1], [2], conv_options(stride, dilation))]
    assert of(tmp_path, tensors, ops, [0], [2], OPTIMIZED_KERNELS).operators[0].workspace_bytes == expected
    assert of(tmp_path, tensors, ops, [0], [2], REFERENCE_KERNELS).operators[0].workspace_bytes == 0


def test_a_convolution_of_reals_with_weights_of_8_bits_goes_another_way(tmp_path):
    weight = np.ones((5, 3, 3, 2), "i1")
    tensors = [T(X), T(weight.shape, weight, type=9), T((1, 4, 4, 5))]
    found = of(tmp_path, tensors, [Op(CONV, [0, 1, -1], [2], conv_options())], [0], [2], OPTIMIZED_KERNELS)
    assert found.operators[0].workspace_bytes == 0


def test_an_operator_before_what_it_needs_is_refused(tmp_path):
    with pytest.raises(GraphError, match="comes before"):
        of(tmp_path, [T(X)] * 3, [Op(RELU, [1], [2]), Op(RELU, [0], [1])], [0], [2])


def test_a_tensor_that_nobody_makes_is_refused(tmp_path):
    with pytest.raises(GraphError, match="is neither an input nor written by an operator"):
        of(tmp_path, [T(X)] * 3, [Op(ADD, [0, 1], [2])], [0], [2])


# Another order --------------------------------------------------------------------------------------------------------


def test_only_the_order_changes(tmp_path):
    path = written(tmp_path, BRANCHES)
    target = write_litert_order(path, [1, 0, 2, 3], tmp_path / "other.tflite")
    before, after = read_litert(path), read_litert(target)
    assert after.operators == tuple(before.operators[one] for one in (1, 0, 2, 3))
    assert (after.tensors, after.inputs, after.outputs) == (before.tensors, before.inputs, before.outputs)
    slots = {byte for slot in before.slots for byte in range(slot, slot + 4)}
    changed = {place for place, (a, b) in enumerate(zip(before.content, after.content, strict=True)) if a != b}
    assert changed
    assert changed <= slots


def test_there_and_back_is_the_same_file(tmp_path):
    path = written(tmp_path, BRANCHES)
    there = write_litert_order(path, [1, 0, 2, 3], tmp_path / "there.tflite")
    assert write_litert_order(there, [1, 0, 2, 3], tmp_path / "back.tflite").read_bytes() == BRANCHES


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ([0, 1, 2], "has 4 operators, and the order names 3"),
        ([0, 1, 2, 2], "name each operator once"),
        ([0, 2, 1, 3], "t3: comes before operator 't2', which it needs"),
    ],
)
def test_an_order_that_cannot_be(tmp_path, order, expected):
    with pytest.raises(GraphError, match=expected):
        write_litert_order(written(tmp_path, BRANCHES), order, tmp_path / "other.tflite")
    assert not (tmp_path / "other.tflite").exists()


def test_users_of_a_state_stay_in_order(tmp_path):
    ops = [Op(ADD, [0, 1], [2]), Op(MUL, [0, 1], [3]), Op(RELU, [0], [4])]
    content = litert_file([T(X), T(X, state=True), *([T(X)] * 3)], ops, [0], [2, 3, 4])
    path = written(tmp_path, content)
    write_litert_order(path, [2, 0, 1], tmp_path / "other.tflite")
    with pytest.raises(GraphError, match=r"operators \[0, 1\] use the state 't1', and come in the order \[1, 0\]"):
        write_litert_order(path, [1, 0, 2], tmp_path / "other.tflite")


def test_a_file_that_names_operators_by_their_index_is_refused(tmp_path):
    content = litert_file([T(X)] * 2, [Op(RELU, [0], [1])], [0], [1], metadata=["model_control_dependencies"])
    with pytest.raises(FileError, match="which must come after which"):
        write_litert_order(written(tmp_path, content), [0], tmp_path / "other.tflite")


def test_operators_before_their_vector_are_refused(tmp_path):
    """Two distances of 4 bytes, the first of which leads to the second."""
    model = read_litert(written(tmp_path, BRANCHES))
    with pytest.raises(FileError, match="has operators before their vector"):
        _reordered(replace(model, content=struct.pack("<3I", 4, 4, 0), slots=range(0, 8, 4)), [1, 0])


# SwiftNet -------------------------------------------------------------------------------------------------------------


def structure(computation: Computation):
    """Sizes, and what reads what, with numbers by first mention and concatenations dissolved."""
    below = [(value,) for value in range(len(computation.values))]
    numbers: dict[int, int] = {}
    steps = []
    for operator in computation.operators:
        read = sorted({base for value in operator.inputs for base in below[value]})
        if operator.is_view:
            below[operator.outputs[0]] = tuple(read)
            continue
        named = [numbers.setdefault(value, len(numbers)) for value in (*read, *operator.outputs)]
        steps.append((frozenset(named[: len(read)]), named[len(read) :]))
    values = [computation.values[value] for value in numbers]
    return steps, [(one.size_bytes, one.is_input, one.is_output) for one in values]


def test_the_shared_graph_of_swiftnet_is_this_file(data_folder):
    found = structure(litert_computation(data_folder / SWIFTNET, VIEWS))
    assert found == structure(read_graph(data_folder / GRAPHS / "swiftnet_whole.json"))
    assert len(found[0]) == 69


@pytest.mark.parametrize("cell", CELLS)
def test_the_shared_cells_are_cut_out_of_this_file(data_folder, cell):
    part = cut_out(litert_computation(data_folder / SWIFTNET, VIEWS), CELLS[cell])
    assert structure(part) == structure(read_graph(data_folder / GRAPHS / f"swiftnet_{cell}.json"))


@pytest.mark.parametrize(
    ("accounting", "expected"),
    [(None, 351_232), (VIEWS, 301_056), (REFERENCE_KERNELS, 501_760), (OPTIMIZED_KERNELS, 812_224)],
    ids=["copied", "views", "plain kernels", "fast kernels"],
)
def test_what_swiftnet_needs_in_its_own_order(data_folder, accounting, expected):
    assert live_bytes(litert_computation(data_folder / SWIFTNET, accounting)) == expected


def test_what_swiftnet_needs_in_the_best_order(data_folder):
    """No order takes less than the first operator, which copies the input of 150,528 bytes."""
    found = litert_computation(data_folder / SWIFTNET)
    assert live_bytes(found.in_order(best_order())) == 2 * 150_528


def best_order() -> list[int]:
    return json.loads(Path(__file__).with_name("swiftnet_order.json").read_text(encoding="utf-8"))
