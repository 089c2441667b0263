"""Ranges by the error of outputs: by hand, against samples, never above min-max; groups and shared scales."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from microjoule.errors import SettingError
from microjoule.numerics.affine import Affine, affine_from_range, fake_quantize
from microjoule.numerics.grid import IntGrid, Scheme
from microjoule.numerics.output_error import CANDIDATES, least_output_error_range, varying_output_error

TERNARY = Scheme(IntGrid(2, narrow=True), symmetric=True, axis=0)  # -c, 0, c
FOUR_BITS = Scheme(IntGrid(4), symmetric=True, axis=0)
seeds = st.integers(0, 2**31)


def rounded(weight: Tensor, low: Tensor, high: Tensor, scheme: Scheme, scale_of: Tensor) -> Tensor:
    affine = affine_from_range(low, high, scheme)
    return fake_quantize(weight, Affine(scheme, affine.scale[scale_of], affine.zero_point[scale_of]))


@pytest.mark.parametrize(
    ("moments", "expected"),
    [
        ([1.0, 0.0], 1.0),  # the large weight alone is heard: the whole range rounds it to itself
        ([0.0, 1.0], 0.4),  # the small one alone
        ([0.5, 1.0], 0.6),  # the errors of the three are 0.16, 0.5 * 0.16 + 0.04 = 0.12, and 0.5 * 0.36 = 0.18
    ],
)
def test_by_hand(moments, expected):
    """The weights 1 and 0.4 become (1, 0) on the whole range, (0.6, 0.6) on 0.6 of it, and (0.4, 0.4) on 0.4."""
    weight = torch.tensor([[1.0, 0.4]])
    low, high = least_output_error_range(
        weight, torch.diag(torch.tensor(moments))[None], TERNARY, scale_of=torch.tensor([0]), candidates=(1, 0.6, 0.4)
    )
    assert_close((low, high), (torch.zeros(1), torch.tensor([expected])))


def test_errors_of_weights_whose_inputs_go_together_cancel():
    """1 and 0.6 become (1, 1) or (0.8, 0.8): with one input for both the sum counts, 1.6, and the second is exact."""
    weight = torch.tensor([[1.0, 0.6]])
    for moments, expected in ((torch.ones(2, 2), 0.8), (torch.diag(torch.tensor([5.0, 1.0])), 1.0)):
        _, high = least_output_error_range(
            weight, moments[None], TERNARY, scale_of=torch.tensor([0]), candidates=(1, 0.8)
        )
        assert_close(high, torch.tensor([expected]))


@given(rows=st.integers(1, 4), n=st.integers(1, 5), seed=seeds)
def test_the_quadratic_form_is_the_mean_squared_error_over_samples(rows, n, seed):
    generator = torch.Generator().manual_seed(seed)
    weight, q = torch.randn(2, rows, n, generator=generator, dtype=torch.float64)
    x, seen = torch.randn(2, n, 30, generator=generator, dtype=torch.float64)
    error = (weight @ x - q @ seen).square().mean(1)
    varying = varying_output_error(weight, q, (seen @ seen.T / 30)[None], (x @ seen.T / 30)[None])
    assert_close(varying + (weight @ x).square().mean(1), error)


@pytest.mark.parametrize("scheme", [FOUR_BITS, Scheme(IntGrid(3), axis=0)], ids=["symmetric", "asymmetric"])
@pytest.mark.parametrize("layout", [[0, 1, 2, 3], [0, 0, 0, 0], [0, 0, 1, 1], [0, 1, 0, 1]], ids=str)
@settings(max_examples=10)
@given(seed=seeds)
def test_no_candidate_has_a_smaller_error_on_samples(scheme, layout, seed):
    generator = torch.Generator().manual_seed(seed)
    weight, scale_of = torch.randn(4, 6, generator=generator), torch.tensor(layout)
    x = torch.randn(6, 6, generator=generator) @ torch.randn(6, 40, generator=generator)
    seen = x + 0.1 * torch.randn(6, 40, generator=generator)
    moments = [(inputs @ seen.T / 40)[None] for inputs in (seen, x)]
    low, high = least_output_error_range(weight, moments[0], scheme, scale_of=scale_of, cross_moment=moments[1])

    def error(low: Tensor, high: Tensor) -> Tensor:
        q = rounded(weight, low, high, scheme, scale_of)
        rows = (weight.double() @ x.double() - q.double() @ seen.double()).square().mean(1)
        return torch.zeros(len(low), dtype=torch.float64).index_add(0, scale_of, rows)

    whole = [torch.stack([weight[scale_of == s].amin().clamp(max=0) for s in range(len(low))])]
    whole += [torch.stack([weight[scale_of == s].amax().clamp(min=0) for s in range(len(low))])]
    for share in CANDIDATES:
        assert (error(low, high) <= error(share * whole[0], share * whole[1]) * (1 + 1e-4) + 1e-6).all()


def test_groups_are_chosen_each_by_its_own_moments():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(6, 3, generator=generator)
    factors = torch.randn(2, 3, 3, generator=generator)
    moments = factors @ factors.mT
    low, high = least_output_error_range(weight, moments, FOUR_BITS, scale_of=torch.arange(6))
    for group in range(2):
        rows = slice(3 * group, 3 * group + 3)
        alone = least_output_error_range(weight[rows], moments[group, None], FOUR_BITS, scale_of=torch.arange(3))
        assert_close((low[rows], high[rows]), alone)


def test_outputs_are_nearer_than_with_the_least_error_of_weights():
    """Where some inputs are ten times larger than others: measured, 0.67 of the error of ranges for equal inputs."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(64, 32, generator=generator)
    x = torch.randn(32, 500, generator=generator) * torch.logspace(-1, 1, 32)[:, None]
    scale_of, three_bits = torch.arange(64), Scheme(IntGrid(3), symmetric=True, axis=0)

    def error(moment: Tensor) -> float:
        low, high = least_output_error_range(weight, moment[None], three_bits, scale_of=scale_of)
        return ((rounded(weight, low, high, three_bits, scale_of) - weight) @ x).square().mean().item()

    ratio = error(x @ x.T / 500) / error(torch.eye(32))
    assert ratio < 0.8, ratio


def test_a_row_whose_inputs_are_never_there_keeps_its_whole_range():
    _, high = least_output_error_range(
        torch.tensor([[1.0, 0.3]]), torch.zeros(1, 2, 2), FOUR_BITS, scale_of=torch.tensor([0])
    )
    assert high.tolist() == [1.0]


def test_without_candidates_that_clip_the_range_is_min_max():
    weight = torch.tensor([[-3.0, 1.0], [0.5, 2.0], [0.0, 0.0]])
    low, high = least_output_error_range(
        weight, torch.eye(2)[None], FOUR_BITS, scale_of=torch.arange(3), candidates=[1.0]
    )
    assert_close((low, high), (torch.tensor([-3.0, 0.0, 0.0]), torch.tensor([1.0, 2.0, 0.0])))


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"second_moment": torch.eye(3)[None]}, r"second_moment: has the shape \(1, 3, 3\)"),
        ({"second_moment": torch.eye(2)}, r"second_moment: has the shape \(2, 2\)"),
        ({"second_moment": torch.eye(2).expand(3, 2, 2)}, "a number of groups that divides 4"),
        ({"scale_of": torch.arange(3)}, r"scale_of: has the shape \(3,\)"),
        ({"candidates": []}, "candidates: are"),
        ({"candidates": [1.2]}, "candidates: are"),
        ({"candidates": [0.0]}, "candidates: are"),
    ],
)
def test_what_does_not_fit_is_refused(change, place):
    given = {"second_moment": torch.eye(2)[None], "scale_of": torch.arange(4)} | change
    with pytest.raises(SettingError, match=place):
        least_output_error_range(torch.randn(4, 2), scheme=FOUR_BITS, **given)
