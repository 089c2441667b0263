import warnings

import numpy as np
import pytest
import torch

from microjoule.errors import DataError
from microjoule.execution.signature import Input
from microjoule.execution.values import as_targets, as_tensor, cast, check_finite, is_numeric, kind_of, shape_of

FLOATS = torch.zeros(1, 3, 4, 4)
X = Input("x", FLOATS)


@pytest.mark.parametrize("value", [torch.ones(2), np.ones(2), np.float32(1), 1, 1.0, True, [1, 2], [[1.0], [2.0]]])
def test_arrays_and_lists_of_numbers_are_numeric(value):
    assert is_numeric(value)


@pytest.mark.parametrize("value", [None, "a", [], ["a"], (1, 2), [torch.ones(2)], {"a": 1}, [1, [2, "a"]]])
def test_texts_and_nested_arrays_are_not(value):
    assert not is_numeric(value)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (np.zeros(2), torch.float32),
        (torch.zeros(2, dtype=torch.float64), torch.float32),
        (np.zeros(2, np.float16), torch.float16),
        (np.zeros(2, np.uint8), torch.uint8),
        (np.zeros(2, np.uint16), torch.int64),
        ([1, 2], torch.int64),
        ([1.0, 2], torch.float32),
        (3, torch.int64),
        (True, torch.bool),
        (np.int32(3), torch.int32),
        (np.zeros(2, ">f4"), torch.float32),
    ],
)
def test_types_of_tensors(value, dtype):
    assert as_tensor(value, "data").dtype == dtype


def test_values_stay_the_same():
    backwards = np.arange(6, dtype=np.uint16)[::-1]
    backwards.setflags(write=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert as_tensor(backwards, "data").tolist() == [5, 4, 3, 2, 1, 0]
    assert as_tensor([[1, 2], [3, 4]], "data").tolist() == [[1, 2], [3, 4]]


def test_a_tensor_comes_without_its_gradient():
    assert not as_tensor(torch.ones(2, requires_grad=True), "data").requires_grad


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.array(["a"]), "values of type <U1"),
        (np.array([None]), "values of type object"),
        ([[1], [2, 3]], "lists that are no array"),
        (torch.eye(2).to_sparse(), "a sparse tensor"),
    ],
)
def test_what_holds_no_numbers_is_refused(value, words):
    with pytest.raises(DataError, match=words):
        as_tensor(value, "data")


def test_shapes_of_lists():
    assert shape_of([[1, 2, 3], [4, 5, 6]]) == (2, 3)
    assert shape_of([[1], [2, 3]]) == (2,)
    assert shape_of(np.ones((2, 3))) == (2, 3)
    assert shape_of(3) == ()


def test_kinds_of_numbers():
    values = [torch.ones(1), np.ones(1), torch.ones(1).bool(), np.ones(1, bool), torch.ones(1).byte(), 3, [True]]
    assert "".join(map(kind_of, values)) == "ffbbiib"


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.bool])
def test_numbers_become_those_of_a_floating_point_input(dtype):
    found = cast(torch.ones(1, 3, 4, 4).to(dtype), FLOATS, X, "data")
    assert found.dtype == torch.float32
    assert torch.equal(found, torch.ones(1, 3, 4, 4))


def test_pixels_are_refused_where_prepared_inputs_are_taken():
    pixels = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    with pytest.raises(DataError, match=r"gives x as pixels, uint8 \(1, 3, 4, 4\), and the network takes float32"):
        cast(pixels, FLOATS, X, "data")
    assert cast(pixels, FLOATS, Input("x", FLOATS, stored=True), "data").dtype == torch.float32
    assert cast(torch.zeros(2, 3, dtype=torch.uint8), torch.zeros(2, 3), X, "data").dtype == torch.float32


@pytest.mark.parametrize(
    ("value", "like", "expected"),
    [
        (torch.tensor([1.0, 2.0]), torch.zeros(2, dtype=torch.int64), [1, 2]),
        (torch.tensor([1, 2]), torch.zeros(2, dtype=torch.int32), [1, 2]),
        (torch.tensor([True, False]), torch.zeros(2, dtype=torch.int64), [1, 0]),
        (torch.tensor([1, 0]), torch.zeros(2, dtype=torch.bool), [True, False]),
    ],
)
def test_numbers_become_integers_where_nothing_is_lost(value, like, expected):
    found = cast(value, like, X, "data")
    assert (found.dtype, found.tolist()) == (like.dtype, expected)


@pytest.mark.parametrize(
    ("value", "like"),
    [
        (torch.tensor([1.5]), torch.zeros(1, dtype=torch.int64)),
        (torch.tensor([2**40]), torch.zeros(1, dtype=torch.int32)),
        (torch.tensor([2]), torch.zeros(1, dtype=torch.bool)),
    ],
)
def test_numbers_that_would_change_are_refused(value, like):
    with pytest.raises(DataError, match="whose values are no"):
        cast(value, like, X, "data")


def test_targets_become_tensors():
    assert as_targets(np.arange(3), (), "data").tolist() == [0, 1, 2]
    assert as_targets([3, 4], (), "data").tolist() == [3, 4]
    assert as_targets(3, (), "data").tolist() == [3]
    assert as_targets({"a": np.arange(2)}, (), "data")["a"].tolist() == [0, 1]
    assert as_targets([np.arange(2), np.arange(3)], (), "data")[1].tolist() == [0, 1, 2]
    half = torch.ones(2, dtype=torch.float64)
    assert as_targets(half, (), "data") is half
    assert as_targets(None, (), "data") is None


def test_names_of_classes_become_numbers_where_the_network_knows_them():
    labels = ("cat", "dog")
    assert as_targets(["dog", "cat"], labels, "data").tolist() == [1, 0]
    assert as_targets(("dog", "cat"), labels, "data").tolist() == [1, 0]
    assert as_targets("dog", labels, "data").tolist() == [1]
    assert as_targets(["dog"], (), "data") == ["dog"]
    with pytest.raises(DataError, match=r"has targets \['cow'\], which are none of the network's 2 labels"):
        as_targets(["dog", "cow"], labels, "data")


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_refused(wrong):
    with pytest.raises(DataError, match="NaN or infinite"):
        check_finite(torch.tensor([1.0, wrong]), "data")
    check_finite(torch.tensor([1, 2]), "data")
