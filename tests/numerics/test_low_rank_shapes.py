from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microjoule.errors import SettingError
from microjoule.numerics.low_rank_shapes import (
    METHODS,
    break_even_rank,
    factor_macs,
    factor_places,
    factor_shapes,
    full_rank,
    full_tucker_ranks,
    has_form,
    largest_rank,
    layer_macs,
    separated,
    tucker_ranks,
)

SHAPE = (8, 6, 3, 5)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("spatial", ((2, 6, 3, 1), (8, 2, 1, 5))),
        ("input", ((2, 6, 1, 1), (8, 2, 3, 5))),
        ("output", ((2, 6, 3, 5), (8, 2, 1, 1))),
        ("tucker", ((2, 6, 1, 1), (2, 2, 3, 5), (8, 2, 1, 1))),
    ],
)
def test_shapes_by_hand(method, expected):
    assert factor_shapes(SHAPE, method, 2) == expected


@pytest.mark.parametrize(
    ("method", "expected"), [("spatial", (8, 18, 5)), ("input", (8, 6, 15)), ("output", (8, 90, 1))]
)
def test_what_each_factor_reads_by_hand(method, expected):
    assert separated(SHAPE, method) == expected


@pytest.mark.parametrize(
    ("shape", "method", "rank"),
    [
        (SHAPE, "spatial", 18),  # 6 * 3 against 8 * 5
        ((2, 6, 3, 5), "spatial", 10),
        (SHAPE, "input", 6),
        ((2, 6, 1, 1), "input", 2),
        (SHAPE, "output", 8),
        ((8, 3), "output", 3),
        (SHAPE, "tucker", 8),
        ((9, 2, 1, 1), "tucker", 2),  # nine outputs of two inputs are two at most
    ],
)
def test_full_ranks_by_hand(shape, method, rank):
    assert full_rank(shape, method) == rank


def test_ranks_of_tucker_by_hand():
    assert full_tucker_ranks(SHAPE) == (6, 8)
    assert tucker_ranks(SHAPE, (1, 7)) == (1, 7)
    assert [tucker_ranks(SHAPE, rank) for rank in (1, 4, 5, 8)] == [(1, 1), (3, 4), (4, 5), (6, 8)]


def test_products_by_hand():
    """16 x 16 to 8 x 8, stride 2: the first factor is used on 8 x 16 places (spatial), or on all 256 (input)."""
    shape, inputs, outputs = (4, 2, 3, 3), (16, 16), (8, 8)
    assert layer_macs(shape, outputs) == 64 * 72
    assert factor_macs(shape, "spatial", 2, inputs, outputs) == 128 * 12 + 64 * 24
    assert factor_macs(shape, "input", 1, inputs, outputs) == 256 * 2 + 64 * 36
    assert factor_macs(shape, "output", 3, inputs, outputs) == 64 * 54 + 64 * 12
    assert factor_macs(shape, "tucker", (1, 2), inputs, outputs) == 256 * 2 + 64 * 18 + 64 * 8
    assert factor_macs((5, 7), "output", 2, (10,), (10,)) == 10 * 24


def test_a_spatial_form_breaks_even_where_the_paper_says():
    """r < in out kh kw / (in kh + out kw) = 6 * 8 * 15 / (18 + 40) = 12.4."""
    assert break_even_rank(SHAPE, "spatial", (7, 7), (7, 7)) == 12
    assert break_even_rank((2, 2), "output", (), ()) == 0  # r < 4 / 4: as many products are no gain


def test_the_largest_rank_within_a_share_by_hand():
    assert largest_rank(SHAPE, "spatial", 0.5 * layer_macs(SHAPE, (7, 7)), (7, 7), (7, 7)) == 6
    assert largest_rank(SHAPE, "spatial", 58 * 49, (7, 7), (7, 7)) == 1
    assert largest_rank(SHAPE, "spatial", 58 * 49 - 1, (7, 7), (7, 7)) == 0
    assert largest_rank(SHAPE, "spatial", 1e9, (7, 7), (7, 7)) == 18


sizes = st.integers(1, 7)


@given(out=sizes, channels=sizes, kh=sizes, kw=sizes, method=st.sampled_from(METHODS), macs=st.integers(0, 40000))
def test_the_largest_rank_is_within_and_the_next_is_not(out, channels, kh, kw, method, macs):
    shape, inputs, outputs = (out, channels, kh, kw), (9, 11), (5, 4)
    rank = largest_rank(shape, method, macs, inputs, outputs)
    counts = [factor_macs(shape, method, one, inputs, outputs) for one in range(1, full_rank(shape, method) + 1)]
    assert all(count <= macs for count in counts[:rank])
    assert all(count > macs for count in counts[rank:])


@pytest.mark.parametrize("method", METHODS)
def test_places_are_those_of_convolutions(method):
    places = factor_places(method, (9, 11), (5, 4))
    assert len(places) == len(factor_shapes(SHAPE, method, 1))
    assert places[-1] == prod((5, 4))


def test_the_spatial_form_is_of_two_axes():
    assert [has_form(shape, "spatial") for shape in ((2, 2), (2, 2, 3), (2, 2, 3, 3), (2, 2, 3, 3, 3))] == [
        *(False, False, True, False)
    ]
    assert has_form((2, 2), "output")
    with pytest.raises(SettingError, match=r"spatial for a weight of shape \(2, 2, 3\)\n  give output, input"):
        separated((2, 2, 3), "spatial")
