"""Which values are no signals, by small networks: angles, indices, statistics, masks, and what only looks like one."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import microjoule as mj
from microjoule.graph.signals import (
    ANGLE,
    INDEX,
    MASK,
    MASKED,
    NOT_FINITE,
    STATISTIC,
    constant_under,
    find_signals,
    name_of,
)
from tests.capture.models import Function

LEAST = torch.finfo(torch.float32).min
CAUSAL = torch.ones(5, 5, dtype=torch.bool).tril()
X = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
PLACES = torch.arange(5)[None].expand(2, 5).contiguous()


def off_grid(function, *inputs, **modules):
    """The values that must not be quantized, by the operator that makes them, with their reasons, in order."""
    network = mj.capture(Function(function, **modules).eval(), inputs)
    found = find_signals(network).off_grid
    nodes = [node for node in network.graph.nodes if node in found and node.op != "get_attr"]
    return [(name_of(node) or node.op, found[node]) for node in nodes]


def named(reason, found):
    return [name for name, one in found if one == reason]


def scores(module, x):
    query, key = module.a(x), module.b(x)
    return query @ key.transpose(1, 2)


def layers():
    return {"a": nn.Linear(4, 4), "b": nn.Linear(4, 4)}


# Masks ----------------------------------------------------------------------------------------------------------------


MASKS = {
    "a fill of the smallest float": lambda s: s.masked_fill(~CAUSAL, LEAST),
    "a fill of -infinity": lambda s: s.masked_fill(~CAUSAL, -math.inf),
    "a fill of -50": lambda s: s.masked_fill(~CAUSAL, -50.0),
    "a choice": lambda s: torch.where(CAUSAL, s, LEAST),
    "a choice of a full tensor": lambda s: torch.where(CAUSAL, s, torch.full([], LEAST)),
    "a stored -10,000": lambda s: s + torch.where(CAUSAL, 0.0, -1e4),
    "a stored -100": lambda s: s + torch.where(CAUSAL, 0.0, -100.0),
    "a stored -infinity": lambda s: s + torch.zeros(5, 5).masked_fill(~CAUSAL, -math.inf),
    "less a stored 10,000": lambda s: s - torch.where(CAUSAL, 0.0, 1e4),
    "a clamp behind": lambda s: (s + torch.where(CAUSAL, 0.0, LEAST)).clamp(min=LEAST),
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_from_the_mask_to_the_softmax_nothing_is_quantized(mask):
    found = off_grid(lambda m, x: mask(scores(m, x) * 0.5).softmax(-1) @ m.b(x), X, **layers())
    masked = named(MASKED, found)
    assert masked[0] in ("masked_fill", "where", "add", "sub")
    assert "matmul" not in masked
    assert "mul" not in masked
    assert "softmax" not in masked


@pytest.mark.parametrize(
    "mask",
    [
        lambda given: (1 - given[:, None].float()) * -1e4,
        lambda given: (1.0 - given[:, None].float()) * LEAST,
        lambda given: torch.where(given[:, None] > 0, 0.0, -1e9),
        lambda given: given[:, None].float(),
    ],
    ids=["ones and zeros", "the smallest float", "a choice", "numbers of the caller"],
)
def test_a_mask_that_is_an_input_is_none_of_the_signals(mask):
    given = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    found = off_grid(lambda m, x, g: (scores(m, x) + mask(g)).softmax(-1) @ m.b(x), X, given, **layers())
    assert ("add", MASKED) in found
    assert set(named(MASKED, found)) <= {"where", "add"}
    assert {reason for _, reason in found} <= {MASKED, MASK, INDEX}


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: (scores(m, x) + torch.tensor([0.0, 1.0, -2.0, 3.0, 4.0])).softmax(-1),
        lambda m, x: scores(m, x).masked_fill(~CAUSAL, 0.0).softmax(-1),
        lambda m, x: m.a(x) + torch.arange(4.0) * 100,
        lambda m, x: torch.where(m.a(x) > 0, m.a(x), 0.0),
        lambda m, x: (scores(m, x) + scores(m, x)).softmax(-1),
        lambda m, x: m.a(x).clamp(min=LEAST),
    ],
    ids=["a bias of the scores", "a fill of 0", "no softmax", "a choice of 0", "two signals", "a clamp alone"],
)
def test_what_only_looks_like_a_mask(function):
    assert not named(MASKED, off_grid(function, X, **layers()))


def test_a_maximum_makes_an_end_of_the_mask():
    """Masked before a maximum over all places, as pooling of sequences has it."""
    found = off_grid(lambda m, x: m.b(m.a(x).masked_fill(x > 1, -1e9).amax(1)), X, **layers())
    assert named(MASKED, found) == ["masked_fill"]


def test_a_border_of_minus_infinity_is_a_mask():
    found = off_grid(lambda m, x: F.max_pool1d(F.pad(m.a(x), (1, 1), value=-math.inf), 3, 1), X, a=nn.Linear(4, 4))
    assert ("pad", MASKED) in found or ("constant_pad_nd", MASKED) in found


# Angles and indices ---------------------------------------------------------------------------------------------------


def test_positions_are_exact_until_their_sine():
    def rotary(m, x, places):
        angles = places[..., None].float() * torch.tensor([1.0, 0.01, 0.0001, 0.5])
        return m.a(x) * angles.cos() + m.b(x) * (angles * 2).sin()

    found = off_grid(rotary, X, PLACES, **layers())
    assert [name for name, _ in found] == ["to", "mul", "mul"]
    assert {reason for _, reason in found} == {ANGLE}


def test_a_time_step_is_exact_and_its_sine_a_signal():
    def embedded(m, x, time):
        angles = time[:, None] * torch.tensor([1.0, 0.1])[None]
        return m.b(x) + m.a(torch.cat([angles.sin(), angles.cos()], -1))[:, None]

    found = off_grid(embedded, X, torch.tensor([3.0, 700.0]), **layers())
    assert found == [(name, ANGLE) for name in ("placeholder", "unsqueeze", "mul")]


def test_positions_times_frequencies_by_a_layer_are_exact():
    """Random Fourier features: the layer, and what it reads, hold no signal."""
    network = mj.capture(nn.Sequential(nn.Linear(4, 6), Function(lambda _, x: x.sin()), nn.Linear(6, 2)), X)
    signals = find_signals(network)
    assert {node.name for node in signals.off_grid} == {"input_1", "_0"}
    assert [node.name for node in signals.angles] == ["_0"]


def test_a_sine_between_layers_takes_exact_values_of_a_layer_whose_input_is_a_signal():
    class Sine(nn.Module):
        def forward(self, x):
            return (x * 30).sin()

    network = mj.capture(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 6), Sine(), nn.Linear(6, 2)), X)
    signals = find_signals(network)
    assert {node.name for node in signals.off_grid} == {"_2", "_3_mul"}


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (lambda m, x: m.a(x)[:, ((x[0, 0] * 0.1).long() % 5)], ["select", "select", "mul"]),
        (lambda m, x: m.a(x) * (x + 1 > 0), ["add"]),
        (lambda m, x: m.a(x) * (m.b(x) + 1 > 0), []),
        (lambda m, x: m.a(x) + (m.b(x) * 3).floor(), ["mul"]),
        (lambda m, x: (m.a(x).argmax(-1), m.b(x)), []),
    ],
    ids=["an index", "a comparison of the input", "a comparison of what a layer gave", "whole steps", "the largest"],
)
def test_what_leads_to_an_index_or_a_comparison(function, names):
    assert off_grid(function, X, **layers()) == [(name, INDEX) for name in names]


def test_a_grid_of_places_to_look_at():
    def look(m, x):
        places = torch.stack([x[:, :4, :3], x[:, :4, :3]], -1).tanh() * 0.9
        return F.grid_sample(m.a(x)[:, None], places, align_corners=False)

    found = off_grid(look, X, a=nn.Linear(4, 4))
    assert found[-2:] == [("tanh", INDEX), ("mul", INDEX)]
    assert "linear" not in [name for name, _ in found]


# Statistics -----------------------------------------------------------------------------------------------------------


def test_a_mean_square_is_exact_until_its_root():
    def norm(m, x):
        hidden = m.a(x)
        return m.b(hidden * torch.rsqrt(hidden.pow(2).mean(-1, keepdim=True) + 1e-6))

    found = off_grid(norm, X, **layers())
    assert found == [("pow", STATISTIC), ("mean", STATISTIC), ("add", STATISTIC)]


@pytest.mark.parametrize(
    ("function", "exact"),
    [
        (lambda m, x: m.a(x) / (m.b(x).sum(-1, keepdim=True) + 1), ["sum", "add"]),
        (lambda m, x: m.a(x / (x.sum(-1, keepdim=True) + 9)), ["sum", "add"]),
        (lambda m, x: m.a((x.abs() + 1).log()), ["placeholder", "abs", "add"]),
        (lambda m, x: m.a(x).exp(), []),
        (lambda m, x: m.a(x).pow(2), []),
        (lambda m, x: m.a(x) + (m.b(x) * 2).pow(-1), ["mul"]),
    ],
    ids=["a denominator", "of the input", "a logarithm of the input", "of a layer", "a square", "a reciprocal"],
)
def test_what_leads_to_what_enlarges_rounding(function, exact):
    assert off_grid(function, X, **layers()) == [(name, STATISTIC) for name in exact]


# Stored numbers -------------------------------------------------------------------------------------------------------


def test_stored_numbers_are_found_behind_changes_of_shape():
    class Positions(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(torch.arange(20.0).reshape(5, 4))
            self.a = nn.Linear(4, 4)

        def forward(self, x):
            return self.a(x) + self.table[None].expand(2, 5, 4) + x.mean()

    network = mj.capture(Positions().eval(), X)
    sums = [node for node in network.graph.nodes if name_of(node) == "add"]
    assert constant_under(network, sums[0].args[1]).flatten().tolist()[:20] == list(range(20))
    assert constant_under(network, sums[1].args[1]) is None


def test_infinity_that_is_stored_is_never_quantized():
    class Bounded(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("low", torch.tensor([-math.inf, 0.0, 0.0, 0.0]))
            self.a = nn.Linear(4, 4)

        def forward(self, x):
            return torch.maximum(self.a(x), self.low)

    network = mj.capture(Bounded().eval(), X)
    assert [reason for node, reason in find_signals(network).off_grid.items() if node.op == "get_attr"] == [NOT_FINITE]


def test_what_depends_on_sizes_alone_is_reached_by_no_input():
    network = mj.capture(Function(lambda m, x: m.a(x) + torch.zeros(x.shape[0], 1, 1), a=nn.Linear(4, 4)).eval(), X)
    signals = find_signals(network)
    zeros = next(node for node in network.graph.nodes if name_of(node) == "zeros")
    assert zeros not in signals.reached
    assert network.graph.output_node().all_input_nodes[0] in signals.reached
