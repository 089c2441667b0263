import json
from dataclasses import replace

import pytest
import torch

from microjoule.graph.contract import (
    BATCH,
    Contract,
    Input,
    Parameter,
    contract_from_plain,
    contract_of,
    dtype_of,
    name_of,
    names_of,
    plain_contract,
)
from microjoule.graph.nest import Constant, Items, Leaf, nest_of

IMAGES = Input("x", "float32", (BATCH, 3, "x_2", ("*", 2, "x_2")))
COUNTS = Input("counts", "int64", (BATCH,))
PARAMETERS = (
    Parameter("x", "positional", Leaf(0)),
    Parameter("flag", "positional", Constant(True), Constant(False)),
    Parameter("counts", "keyword", Leaf(1)),
)
EVEN = ("==", ("%", "x_2", 2), 0)


@pytest.fixture
def contract():
    sizes = {BATCH: (1, None), "x_2": (2, 64)}
    return Contract(PARAMETERS, (IMAGES, COUNTS), sizes, (EVEN,), batched=(True, True))


def test_it_goes_through_json(contract):
    assert contract_from_plain(json.loads(json.dumps(plain_contract(contract)))) == contract


def test_shapes_follow_from_the_free_sizes(contract):
    sizes = {BATCH: 5, "x_2": 8}
    assert contract.shape(0, sizes) == (5, 3, 8, 16)
    row = [torch.zeros(5, 3, 8, 16), torch.zeros(5, dtype=torch.int64)]
    assert contract.sizes_of(row) == sizes
    assert contract.samples(row) == 5
    assert contract.dynamic_batch


@pytest.mark.parametrize(
    ("sizes", "broken"),
    [
        ({BATCH: 1, "x_2": 2}, ""),
        ({BATCH: 0, "x_2": 2}, "n >= 1"),
        ({BATCH: 1, "x_2": 1}, "x_2 >= 2"),
        ({BATCH: 1, "x_2": 66}, "x_2 <= 64"),
        ({BATCH: 1, "x_2": 7}, "(x_2 % 2) == 0"),
    ],
)
def test_what_sizes_do_not_satisfy_is_said(contract, sizes, broken):
    assert contract.broken(sizes) == broken
    assert contract.accepts(sizes) is not bool(broken)


def test_a_smaller_size_can_be_allowed(contract):
    assert contract.at_least("x_2", 1).broken({BATCH: 1, "x_2": 1}) == "(x_2 % 2) == 0"


def test_with_a_fixed_batch_it_takes_that_of_some_tensors(contract):
    contract = replace(contract, conditions=(EVEN, (">", BATCH, 4), ("<=", BATCH, "x_2")))
    fixed = contract.fixed_batch([torch.zeros(5, 3, 8, 16), torch.zeros(5)])
    assert [one.dims for one in fixed.inputs] == [(5, 3, "x_2", ("*", 2, "x_2")), (5,)]
    assert not fixed.dynamic_batch
    assert fixed.sizes == {"x_2": (2, 64)}
    assert fixed.conditions == (EVEN, ("<=", 5, "x_2"))
    assert fixed.samples([torch.zeros(5, 3, 8, 16), torch.zeros(5)]) == 5


def test_another_type_is_that_of_real_numbers_alone(contract):
    assert [one.dtype for one in contract.to_dtype(torch.float64).inputs] == ["float64", "int64"]


def test_inputs_are_written_with_their_free_sizes(contract):
    assert str(IMAGES) == "(n, 3, x_2, 2 * x_2)"
    assert str(COUNTS) == "(n,)"


def test_without_a_capture_the_batch_is_free_and_all_else_is_the_examples():
    made = contract_of((torch.zeros(2, 3), [torch.zeros(2, 4), torch.zeros(4)]), {"y": torch.zeros(2)})
    assert [str(one) for one in made.inputs] == ["(n, 3)", "(n, 4)", "(4,)", "(n,)"]
    assert [one.name for one in made.inputs] == ["input_0", "input_1.0", "input_1.1", "y"]
    assert made.batched == (True, True, False, True)
    assert not contract_of((torch.zeros(2, 3),), {}, free_batch=False).dynamic_batch
    assert not contract_of((torch.zeros(()),), {}).dynamic_batch


def test_the_rest_by_keyword_goes_by_its_own_names():
    row = []
    rest = nest_of({"mask": torch.zeros(1)}, row)
    parameters = [Parameter("more", "kwargs", rest), Parameter("others", "args", Items("tuple", (), (Leaf(1),)))]
    assert names_of(parameters) == ["mask", "others.0"]


def test_types_go_by_their_names():
    assert dtype_of(name_of(torch.bfloat16)) is torch.bfloat16
    for name in ("nn", "Tensor", "nothing", "__class__"):
        with pytest.raises(ValueError, match="is no type of numbers"):
            dtype_of(name)


def test_a_size_without_a_range_and_a_wrong_count_are_refused():
    with pytest.raises(ValueError, match=r"sizes \['n'\] have no range"):
        Contract(PARAMETERS[:1], (Input("x", "float32", (BATCH,)),), {}, batched=(True,))
    with pytest.raises(ValueError, match="1 inputs, 0 of which are said"):
        Contract(PARAMETERS[:1], (Input("x", "float32", (3,)),), {})
    with pytest.raises(ValueError, match="is no kind of parameter"):
        Parameter("x", "other", None)


def changed(contract, path, value):
    plain = json.loads(json.dumps(plain_contract(contract)))
    *above, last = path
    held = plain
    for key in above:
        held = held[key]
    held[last] = value
    return plain


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("inputs", 0, "dtype"), "nn"),
        (("inputs", 0, "dims"), [["eval", 1]]),
        (("inputs", 0, "dims"), ["m"]),
        (("inputs", 0, "name"), 3),
        (("sizes", "n"), [-1, None]),
        (("sizes", "n"), [1, "x"]),
        (("batch_axis",), "0"),
        (("batched",), []),
        (("conditions",), [["exec", "n"]]),
        (("parameters", 0, "given"), {"tensor": 7}),
        (("parameters", 0, "given"), None),
        (("parameters", 0, "kind"), "else"),
    ],
)
def test_a_damaged_contract_is_refused(contract, path, value):
    with pytest.raises((ValueError, TypeError, LookupError)):
        contract_from_plain(changed(contract, path, value))
