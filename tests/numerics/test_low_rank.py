import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import tensor
from torch.nn import functional as F
from torch.testing import assert_close

from microjoule.errors import SettingError
from microjoule.numerics.low_rank import approximated, errors, product
from microjoule.numerics.low_rank_shapes import METHODS, factor_shapes, full_rank
from microjoule.numerics.whitened import output_error

SHAPES = [(6, 4, 3, 3), (3, 8, 3, 2), (20, 2, 3, 2), (5, 7, 1, 1), (9, 4), (4, 9), (5, 3, 4), (3, 2, 2, 3, 2)]
FORMS = [(shape, method) for shape in SHAPES for method in METHODS if method != "spatial" or len(shape) == 4]
EXACT = [(shape, method) for shape, method in FORMS if method != "tucker"]
TWO_BY_TWO = tensor([[3.0, 0.0], [0.0, 2.0]])

forms = pytest.mark.parametrize(("shape", "method"), FORMS, ids=str)


def problem(shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(shape, generator=generator, dtype=torch.float64)
    inputs = weight[0].numel()
    mixing = torch.randn(inputs, inputs, generator=generator, dtype=torch.float64)
    x = torch.randn(20 * inputs, inputs, generator=generator, dtype=torch.float64) @ mixing
    return weight, x.T @ x / len(x)


def lost(weight, factored, second=None):
    change = (factored.weight - weight).double()
    return float(change.square().sum() if second is None else output_error(change.flatten(1), second))


# By hand --------------------------------------------------------------------------------------------------------------


def test_a_diagonal_by_hand():
    factored = approximated(TWO_BY_TWO, "output", 1)
    assert_close(factored.weight, tensor([[3.0, 0.0], [0.0, 0.0]]))
    assert_close([one.abs() for one in factored.factors], [tensor([[3**0.5, 0.0]]), tensor([[3**0.5], [0.0]])])
    assert_close(errors(TWO_BY_TWO, "output"), tensor([13.0, 4.0, 0.0]).double())


def test_a_diagonal_with_data_by_hand():
    """An input of a second moment 9 times as large makes the smaller weight the one that counts: 2^2 9 > 3^2."""
    second = torch.diag(tensor([1.0, 9.0]))
    assert_close(approximated(TWO_BY_TWO, "output", 1, second).weight, tensor([[0.0, 0.0], [0.0, 2.0]]))
    assert_close(errors(TWO_BY_TWO, "output", second), tensor([45.0, 9.0, 0.0]).double())


@pytest.mark.parametrize("method", METHODS)
def test_a_product_of_axes_has_rank_one(method):
    """A kernel that is a column times a row, from one channel to one."""
    weight = (tensor([1.0, 2.0, -1.0])[:, None] * tensor([3.0, 0.5]))[None, None]
    factored = approximated(weight, method, 1)
    assert_close(factored.weight, weight)
    assert [tuple(one.shape) for one in factored.factors] == list(factor_shapes(weight.shape, method, 1))


# Laws -----------------------------------------------------------------------------------------------------------------


@forms
@pytest.mark.parametrize("data", [False, True], ids=["data-free", "data-aware"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)], ids=str)
def test_the_full_rank_reproduces_the_weight(shape, method, data, dtype, tolerance):
    weight, second = problem(shape)
    weight = weight.to(dtype)
    factored = approximated(weight, method, full_rank(shape, method), second if data else None)
    assert factored.weight.dtype == dtype
    assert {one.dtype for one in factored.factors} == {dtype}
    assert (factored.weight - weight).abs().max() <= tolerance * weight.abs().max()


@forms
def test_factors_have_their_shapes_and_their_product_is_the_weight(shape, method):
    weight, second = problem(shape)
    for rank in range(1, full_rank(shape, method) + 1, 2):
        factored = approximated(weight, method, rank, second)
        assert [tuple(one.shape) for one in factored.factors] == list(factor_shapes(shape, method, rank))
        assert_close(product(factored.factors), factored.weight)
        assert factored.method == method


@pytest.mark.parametrize(("shape", "method"), EXACT, ids=str)
def test_the_discarded_energy_is_the_error_of_the_weight(shape, method):
    weight, _ = problem(shape)
    found = errors(weight, method)
    assert_close(float(found[0]), float(weight.square().sum()))
    for rank in range(1, full_rank(shape, method) + 1):
        assert_close(lost(weight, approximated(weight, method, rank)), float(found[rank]), atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_discarded_energy_is_the_error_of_the_output(shape):
    weight, second = problem(shape)
    found = errors(weight, "output", second)
    total = float(output_error(weight.flatten(1), second))
    assert_close(float(found[0]), total, rtol=1e-8, atol=0)
    for rank in range(1, full_rank(shape, "output") + 1):
        error = lost(weight, approximated(weight, "output", rank, second), second)
        assert_close(error, float(found[rank]), atol=1e-7 * total, rtol=1e-6)


@forms
@pytest.mark.parametrize("data", [False, True], ids=["data-free", "data-aware"])
def test_the_error_told_beforehand_is_never_exceeded_and_more_rank_never_worse(shape, method, data):
    weight, second = problem(shape)
    known = second if data else None
    found = errors(weight, method, known)
    assert len(found) == full_rank(shape, method) + 1
    assert found[-1] == 0
    assert (found.diff() <= 1e-9 * found[0]).all()
    for rank in range(1, len(found)):
        error = lost(weight, approximated(weight, method, rank, known), known)
        assert error <= float(found[rank]) * (1 + 1e-6) + 1e-7 * float(found[0])


@settings(max_examples=20)
@given(form=st.sampled_from(FORMS), seed=st.integers(0, 2**31), data=st.data())
def test_on_its_own_moments_data_is_never_worse_than_none(form, seed, data):
    (shape, method), (weight, second) = form, problem(form[0], seed)
    rank = data.draw(st.integers(1, full_rank(shape, method)))
    free, aware = (lost(weight, approximated(weight, method, rank, known), second) for known in (None, second))
    assert aware <= free * (1 + 1e-6) + 1e-9


@pytest.mark.parametrize("method", METHODS)
def test_uncorrelated_inputs_of_the_same_size_are_as_no_data(method):
    weight, _ = problem((6, 4, 3, 3))
    for rank in (1, 3):
        free, aware = (approximated(weight, method, rank, known, sweeps=9) for known in (None, torch.eye(36)))
        assert_close(lost(weight, aware), lost(weight, free), rtol=2e-2 if method == "tucker" else 1e-8, atol=0)


@settings(max_examples=20)
@given(ranks=st.tuples(st.integers(1, 4), st.integers(1, 6)), data=st.booleans())
def test_tucker_takes_two_ranks(ranks, data):
    weight, second = problem((6, 4, 3, 3))
    factored = approximated(weight, "tucker", ranks, second if data else None)
    assert [tuple(one.shape) for one in factored.factors] == list(factor_shapes(weight.shape, "tucker", ranks))
    if ranks == (4, 6):
        assert_close(factored.weight, weight)


@pytest.mark.parametrize("sweeps", [1, 3])
def test_iterations_of_tucker_are_never_worse_than_its_start(sweeps):
    for seed in range(10):
        weight, _ = problem((6, 4, 3, 3), seed)
        start, end = (approximated(weight, "tucker", (2, 3), sweeps=count) for count in (0, sweeps))
        assert lost(weight, end) <= lost(weight, start) + 1e-12


@pytest.mark.parametrize("method", [method for method in METHODS if method != "tucker"])
def test_both_factors_are_equally_large(method):
    weight, second = problem((6, 4, 3, 3))
    first, last = approximated(1000 * weight, method, 3, second).factors
    assert_close(first.square().sum(), last.square().sum())


# Convolutions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_the_product_is_what_a_chain_of_convolutions_computes(method):
    weight, second = problem((6, 4, 3, 2))
    factored = approximated(weight, method, 2, second)
    x = torch.randn(2, 4, 7, 8, dtype=torch.float64)
    chained = x
    for factor in factored.factors:
        chained = F.conv2d(chained, factor)
    assert_close(chained, F.conv2d(x, factored.weight))


# Degenerate and refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("data", [False, True], ids=["data-free", "data-aware"])
def test_a_weight_of_zeros_stays_so(method, data):
    weight, second = torch.zeros(3, 4, 3, 3), torch.eye(36)
    assert_close(approximated(weight, method, 2, second if data else None).weight, weight)
    assert float(errors(weight, method, second if data else None).abs().max()) <= 1e-20


@pytest.mark.parametrize("method", METHODS)
def test_inputs_that_are_always_zero_cost_nothing(method):
    weight, _ = problem((6, 4, 3, 3))
    factored = approximated(weight, method, 2, torch.zeros(36, 36))
    assert factored.weight.isfinite().all()


@pytest.mark.parametrize(
    ("method", "rank", "message"),
    [
        ("output", 0, r"rank: is 0 for a weight of shape \(6, 4, 3, 3\)\n  give 1 to 6"),
        ("spatial", 13, "give 1 to 12"),
        ("tucker", (5, 2), r"give 1 to \(4, 6\)"),
        ("tucker", (2, 0), r"give 1 to \(4, 6\)"),
        ("output", (1, 2), r"is \(1, 2\) for the form output\n  give one number"),
    ],
)
def test_a_rank_that_cannot_be_is_refused(method, rank, message):
    with pytest.raises(SettingError, match=message):
        approximated(torch.ones(6, 4, 3, 3), method, rank)


def test_a_form_that_cannot_be_is_refused():
    with pytest.raises(SettingError, match="spatial for a weight of shape"):
        approximated(torch.ones(6, 4), "spatial", 1)
    with pytest.raises(SettingError, match="spatial for a weight of shape"):
        errors(torch.ones(6, 4), "spatial")
