"""Operators that a target lacks, replaced: the same function in floating point; what does not apply is left alone."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

import microjoule as mj
from microjoule.graph.decompose import decompose
from microjoule.graph.ops import kind
from tests.graph.functions import of

SUMS = frozenset(("add", "mul", "sigmoid", "matmul", "softmax"))
X = torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(0)) * 4


def kinds(network):
    found = [kind(network.module, node) for node in network.graph.nodes]
    return [name for name in found if name not in ("placeholder", "get_attr", "output")]


def decomposed(function, *inputs, integer=SUMS, **settings):
    """The network and what was replaced, after a look that it still computes the same, for another batch as well."""
    network = mj.capture(of(function), inputs)
    done = decompose(network, integer, **settings)
    for given in (inputs, tuple(torch.cat([one, one.flip(0)]) for one in inputs)):
        assert_close(network(*given), function(*given), rtol=2e-6, atol=2e-6)
    return network, done


@pytest.mark.parametrize(
    ("function", "name", "expected"),
    [
        (F.silu, "silu", ["sigmoid", "mul"]),
        (F.hardswish, "hardswish", ["add", "clamp", "mul", "mul"]),
        (F.hardsigmoid, "hardsigmoid", ["mul", "add", "clamp"]),
        (lambda x: F.glu(x, 1), "glu", ["split", "getitem", "getitem", "sigmoid", "mul"]),
        (lambda x: x / 7, "a quotient by a number", ["mul"]),
        (lambda x: torch.add(x, x.flip(1), alpha=3), "a sum with a factor", ["flip", "mul", "add"]),
        (
            lambda x: torch.baddbmm(x, x[:, :, :4], x, beta=0.5, alpha=2),
            "baddbmm",
            ["slice", "matmul", "mul", "mul", "add"],
        ),
        (lambda x: torch.baddbmm(x, x[:, :, :4], x, beta=0), "baddbmm", ["slice", "matmul"]),
    ],
    ids=["silu", "hardswish", "hardsigmoid", "glu", "quotient", "alpha", "baddbmm", "baddbmm without its sum"],
)
def test_an_operator_becomes_those_that_run_in_integer(function, name, expected):
    network, done = decomposed(function, X)
    assert done == {name: 1}
    assert kinds(network) == expected


def test_hardswish_is_one_product_where_its_gate_runs_in_integer():
    network, _ = decomposed(F.hardswish, X, integer=SUMS | {"hardsigmoid"})
    assert kinds(network) == ["hardsigmoid", "mul"]


@pytest.mark.parametrize(
    "integer", [SUMS | {"silu"}, SUMS - {"sigmoid"}, SUMS - {"mul"}], ids=["has it", "no gate", "no product"]
)
def test_what_the_target_has_or_could_not_run_either_stays(integer):
    network, done = decomposed(F.silu, X, integer=integer)
    assert done == {}
    assert kinds(network) == ["silu"]


@pytest.mark.parametrize(
    "function", [lambda x: x / 0, lambda x: x / x, lambda x: x - 3], ids=["by 0", "by a value", "less"]
)
def test_other_quotients_and_differences_stay(function):
    network = mj.capture(of(function), X)
    assert decompose(network, SUMS) == {}


def test_numbers_become_stored_operands_of_their_own():
    network, _ = decomposed(lambda x: (x * 2.5 + 1) * 2.5, X)
    stored = {name: value.item() for name, value in network.module.named_buffers()}
    assert list(stored.values()) == [2.5, 1.0, 2.5]
    assert len(stored) == 3


def test_whole_numbers_are_not_stored_as_operands():
    network = mj.capture(of(lambda x: (x.argmax(1) * 2 + 1).float()), X)
    decompose(network, SUMS)
    assert not list(network.module.named_buffers())


def test_the_activation_of_an_excluded_layer_stays_with_it():
    module = nn.Sequential(nn.Linear(6, 5), nn.SiLU(), nn.Linear(5, 5), nn.SiLU())
    network = mj.capture(module, X)
    assert decompose(network, SUMS, {"0"}) == {"silu": 1}
    assert kinds(network) == ["linear", "silu", "linear", "sigmoid", "mul"]


def test_a_decomposed_network_is_saved_and_loaded(tmp_path):
    network, _ = decomposed(lambda x: F.hardswish(x) / 3, X)
    network.save(tmp_path / "one.mj")
    assert torch.equal(mj.load(tmp_path / "one.mj")(X), network(X))
