"""Scaled dot-product attention in parts: every attribute off its default, against torch's own."""

import math

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention as attend
from torch.testing import assert_close

import microjoule as mj
from microjoule.graph.decompose import decompose
from microjoule.graph.ops import kind
from tests.graph.functions import of

INTEGER = frozenset(("matmul", "softmax", "mul", "add"))


def values(*shape, seed=0):
    return torch.randn(2, *shape, generator=torch.Generator().manual_seed(seed))


QUERY, KEY, VALUE = values(6, 5, 8), values(6, 7, 8, seed=1), values(6, 7, 3, seed=2)
SEEN = torch.rand(5, 7, generator=torch.Generator().manual_seed(3)) > 0.4
NOBODY = SEEN.clone()
NOBODY[2] = False


def as_numbers(mask):
    return torch.where(mask, values(5, 7, seed=4)[0], torch.tensor(-math.inf))


def test_the_parts_by_name():
    network = mj.capture(of(attend), (QUERY, KEY, VALUE))
    assert decompose(network, INTEGER) == {"attention": 1}
    names = [kind(network.module, node) for node in network.graph.nodes if node.op == "call_function"]
    assert names == ["mul", "transpose", "matmul", "softmax", "matmul"]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"scale": 0.7},
        {"scale": 1.0},
        {"is_causal": True},
        {"attn_mask": SEEN},
        {"attn_mask": NOBODY},
        {"attn_mask": as_numbers(SEEN)},
        {"attn_mask": as_numbers(NOBODY)},
    ],
    ids=[
        "plain",
        "scale",
        "scale of 1",
        "causal",
        "booleans",
        "a query sees nothing",
        "numbers",
        "numbers, sees nothing",
    ],
)
def test_each_attribute_is_what_torch_makes_of_it(settings):
    network = mj.capture(of(lambda q, k, v: attend(q, k, v, **settings)), (QUERY, KEY, VALUE))
    assert decompose(network, INTEGER) == {"attention": 1}
    for given in ((QUERY, KEY, VALUE), tuple(torch.cat([one, one.flip(0), one]) for one in (QUERY, KEY, VALUE))):
        assert_close(network(*given), attend(*given, **settings), rtol=2e-6, atol=2e-6)


MASKS = [(SEEN, NOBODY), (values(5, 7)[0], as_numbers(NOBODY))]


@pytest.mark.parametrize(("example", "mask"), MASKS, ids=["booleans", "numbers"])
def test_a_mask_that_is_an_input(example, mask):
    example, mask = (one.expand(2, 1, 5, 7).contiguous() for one in (example, mask))
    network = mj.capture(of(lambda q, k, v, m: attend(q, k, v, attn_mask=m)), (QUERY, KEY, VALUE, example))
    decompose(network, INTEGER)
    for given in (example, mask):
        expected = attend(QUERY, KEY, VALUE, attn_mask=given)
        assert_close(network(QUERY, KEY, VALUE, given), expected, rtol=2e-6, atol=2e-6)


def test_queries_that_share_their_keys():
    given = (QUERY, KEY[:, :2], VALUE[:, :2])
    network = mj.capture(of(lambda q, k, v: attend(q, k, v, enable_gqa=True)), given)
    assert decompose(network, INTEGER) == {"attention": 1}
    assert_close(network(*given), attend(*given, enable_gqa=True), rtol=2e-6, atol=2e-6)


def test_one_that_drops_values_at_random_stays():
    network = mj.capture(of(lambda q, k, v: attend(q, k, v, dropout_p=0.0)), (QUERY, KEY, VALUE))
    (node,) = [one for one in network.graph.nodes if kind(network.module, one) == "attention"]
    node.args = (*node.args[:3], None, 0.1)
    assert decompose(network, INTEGER) == {}


def test_it_stays_where_the_target_runs_it_whole():
    network = mj.capture(of(attend), (QUERY, KEY, VALUE))
    assert decompose(network, INTEGER | {"attention"}) == {}
