"""Contractions as products of matrices: what each label does, and the result against torch's own."""

import pytest
import torch
from torch.testing import assert_close

import microjoule as mj
from microjoule.graph.contraction import Labels, find_labels
from microjoule.graph.decompose import decompose
from tests.graph.functions import of


@pytest.mark.parametrize(
    ("terms", "labels"),
    [
        (("bqhd", "bkhd", "bhqk"), Labels("bh", "q", "k", "d")),
        (("ij", "jk", "ik"), Labels("", "i", "k", "j")),
        (("bd", "bde", "be"), Labels("b", "", "e", "d")),
        (("ij", "jk", "ki"), Labels("", "i", "k", "j")),
    ],
)
def test_what_each_label_does(terms, labels):
    assert find_labels(*terms) == labels


@pytest.mark.parametrize(
    "terms",
    [("ii", "ij", "j"), ("bi", "bj", "bij"), ("bi", "bj", "b"), ("ij", "jk", "ikz")],
    ids=["a diagonal", "an outer product", "a sum of one alone", "a label from nowhere"],
)
def test_what_is_no_product_of_matrices(terms):
    assert find_labels(*terms) is None


@pytest.mark.parametrize(
    ("equation", "left", "right"),
    [
        ("bqhd,bkhd->bhqk", (3, 5, 4, 6), (3, 7, 4, 6)),
        ("bhqk, bkhd -> bqhd", (3, 4, 5, 7), (3, 7, 4, 6)),
        ("bij,bjk", (3, 4, 5), (3, 5, 2)),
        ("bd,bde->be", (3, 4), (3, 4, 5)),
        ("nchw,nkhw->nck", (3, 4, 2, 5), (3, 6, 2, 5)),
        ("...ij,...jk->...ik", (3, 2, 4, 5), (3, 2, 5, 6)),
        ("...ij,...jk", (3, 2, 4, 5), (3, 2, 5, 6)),
        ("bhi,bhi->bh", (3, 2, 4), (3, 2, 4)),
        ("abc,acde->abde", (3, 2, 4), (3, 4, 2, 5)),
        ("bcij,bcjk->bkic", (3, 2, 4, 5), (3, 2, 5, 6)),
    ],
)
def test_the_product_is_the_contraction(equation, left, right):
    generator = torch.Generator().manual_seed(0)
    given = torch.randn(left, generator=generator), torch.randn(right, generator=generator)
    network = mj.capture(of(lambda a, b: torch.einsum(equation, a, b)), given)
    assert decompose(network, {"matmul"}) == {"einsum": 1}
    for a, b in (given, tuple(torch.cat([one, one.flip(0)]) for one in given)):
        assert_close(network(a, b), torch.einsum(equation, a, b))


def test_a_value_with_itself():
    x = torch.randn(2, 3, 4)
    network = mj.capture(of(lambda a: torch.einsum("bic,bjc->bij", a, a)), x)
    assert decompose(network, {"matmul"}) == {"einsum": 1}
    assert_close(network(x), x @ x.transpose(1, 2))


@pytest.mark.parametrize("equation", ["bij->bji", "bij,bjk,bkl->bil"])
def test_one_or_three_operands_stay(equation):
    x = torch.randn(2, 3, 3)
    count = equation.count(",") + 1
    network = mj.capture(of(lambda *given: torch.einsum(equation, *given)), (x,) * count)
    assert decompose(network, {"matmul"}) == {}
