from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn, tensor

from microjoule.graph.walk import grid_under
from microjoule.numerics.ranges import min_max
from microjoule.quantization.calibrate import calibrate
from microjoule.quantization.ptq.balanced_rounding import balance_rounding
from microjoule.quantization.simulate import set_range_by
from microjoule.quantization.tie_free import LARGEST, TOLERANCE, avoid_ties, odd_fraction
from tests.deploy.networks import CASES, Function, images, quantized, small

RATIOS = st.floats(1e-5, 10.0)


@pytest.mark.parametrize(
    ("ratio", "numerator", "denominator"),
    [(1 / 3, 1, 3), (2.0, 2, 1), (0.3338, 1, 3), (0.5, 128, 257), (1 / 1000, 1, 997), (0.75, 65, 87)],
)
def test_a_fraction_by_hand(ratio, numerator, denominator):
    found = odd_fraction(tensor([ratio]).double())
    assert [int(part) for part in found] == [numerator, denominator]


def test_a_row_has_one_denominator_and_rows_have_their_own():
    numerators, denominators = odd_fraction(tensor([[1 / 3, 1 / 5], [2.0, 3.0]]).double())
    assert numerators.tolist() == [[5, 3], [2, 3]]
    assert denominators.tolist() == [[15], [1]]


@given(ratio=RATIOS)
def test_it_is_the_first_odd_denominator_that_fits(ratio):
    numerator, denominator = (int(part) for part in odd_fraction(tensor([ratio]).double()))
    assert abs(Fraction(numerator, denominator) / Fraction(ratio) - 1) <= TOLERANCE * (1 + 1e-9)
    assert denominator % 2 == 1
    for b in range(1, denominator, 2):
        assert abs(round(ratio * b) / b / ratio - 1) > TOLERANCE * (1 - 1e-9)


@given(ratio=RATIOS, total=st.integers(-(2**31), 2**31))
def test_no_sum_comes_nearer_to_a_half_than_half_a_denominator(ratio, total):
    numerator, denominator = (int(part) for part in odd_fraction(tensor([ratio]).double()))
    value = Fraction(total * numerator, denominator)
    from_half = abs((value - Fraction(1, 2)) % 1)
    assert min(from_half, 1 - from_half) >= Fraction(1, 2 * denominator)


def is_odd_fraction(ratio, largest=2000):
    """Whether a ratio of float32 scales is a / b with an odd b, as far as float32 can tell."""
    return any(abs(ratio * b - round(ratio * b)) < 1e-6 * max(1, ratio * b) for b in range(1, largest, 2))


def scales(network):
    return [float(quantizer.scale) for quantizer in network.quantizers.values()]


def test_a_layer_has_odd_fractions_channel_by_channel():
    network, _ = small("conv")
    before = network.layers[0].quantizer.scale.clone()
    record = avoid_ties(network)
    read, made = scales(network)
    after = network.layers[0].quantizer.scale
    assert all(is_odd_fraction(read * float(scale) / made) for scale in after)
    assert not all(is_odd_fraction(read * float(scale) / made) for scale in before)
    assert record.moved == {"0": pytest.approx(float((after / before - 1).abs().max()))}
    assert 0 < record.moved["0"] <= TOLERANCE
    assert network.history[-1] is record


def test_a_sum_has_one_denominator_for_both_terms():
    network, _ = small("add")
    record = avoid_ties(network)
    _, a, b, total = scales(network)
    assert any(all(abs(part / total * k - round(part / total * k)) < 1e-5 for part in (a, b)) for k in range(1, 999, 2))
    assert len(record.moved) == 4
    assert all(0 < abs(share) <= TOLERANCE for share in record.moved.values())
    assert record.skipped == ()


@pytest.mark.parametrize(("name", "count"), [("global average pool", 49), ("average pool", 4), ("mean of one axis", 7)])
def test_an_average_counts_its_values(name, count):
    network, _ = small(name, target="per-tensor")
    avoid_ties(network)
    made, mean = scales(network)[-2:]
    assert is_odd_fraction(made / mean / count)


def test_a_product_has_one_fraction_for_both_factors():
    network, _ = small("mul")
    avoid_ties(network)
    _, a, b, product = scales(network)
    assert is_odd_fraction(a * b / product)


def test_a_square_moves_the_one_scale_that_it_reads():
    network = quantized(Function(lambda m, x: (y := m.a(x)) * y, a=nn.Conv2d(4, 4, 1)), images(8, 4, 5, 5))
    avoid_ties(network)
    _, factor, product = scales(network)
    assert is_odd_fraction(factor**2 / product)


def test_a_value_that_two_operators_read_moves_once_and_the_second_moves_its_own_output():
    def gate(module, x):
        y = module.a(x)
        return y * module.b(y.mean((2, 3), keepdim=True))

    network = quantized(Function(gate, a=nn.Conv2d(4, 4, 1), b=nn.Conv2d(4, 4, 1)), images(8, 4, 5, 5))
    record = avoid_ties(network)
    _, y, mean, factor, product = scales(network)
    assert is_odd_fraction(y * factor / product)
    assert is_odd_fraction(y / mean / 25)
    assert record.skipped == ()


def test_where_scales_are_needed_elsewhere_it_says_so():
    """The concatenation, which is looked at first, moves what the sum reads, so that neither of its inputs can."""

    def twice(module, x):
        a, b = module.a(x), module.b(x)
        return a + b, module.c(torch.cat([a, b], 1))

    layers = {"a": nn.Conv2d(4, 4, 1), "b": nn.Conv2d(4, 4, 1), "c": nn.Conv2d(8, 2, 1)}
    network = quantized(Function(twice, **layers), images(8, 4, 5, 5))
    (skipped,) = avoid_ties(network).skipped
    assert skipped.reason == "other operators need its scales to be what they are"


def test_a_sum_of_sums_is_settled_from_its_end():
    """From its beginning both terms of the last sum would be fixed before it."""

    def total(m, x):
        return (m.a(x) + m.b(x)) + (m.c(x) + m.d(x))

    layers = {name: nn.Conv2d(4, 4, 1) for name in "abcd"}
    network = quantized(Function(total, **layers), images(8, 4, 5, 5))
    assert avoid_ties(network).skipped == ()


def test_a_layer_without_a_grid_behind_it_is_named():
    network, _ = small("relu", layers={"0.2": (8, None)})
    network.graph.output_node().replace_input_with(grid_node(network), network.node("_0_2"))
    network.graph.eliminate_dead_code()
    network.recompile()
    assert [skipped.place for skipped in avoid_ties(network).skipped] == ["0.2"]


def grid_node(network):
    (last,) = network.graph.output_node().all_input_nodes
    assert grid_under(network, last) is not None
    return last


def test_integers_that_were_chosen_stay():
    network, _ = small("conv")
    balance_rounding(network)
    layer = network.layers[0]
    before = layer.quantizer.integers.clone()
    avoid_ties(network)
    assert torch.equal(layer.quantizer.integers, before)
    assert torch.equal(layer.weight, before * layer.quantizer.scale.reshape(-1, 1, 1, 1))


def test_scales_that_are_powers_of_two_stay():
    network = quantized(nn.Sequential(CASES["conv"][0]), images(8, 4, 9, 9))
    for quantizer in (*network.quantizers.values(), network.layers[0].quantizer):
        quantizer.scheme = replace(quantizer.scheme, power_of_two=True)
    before = network.layers[0].quantizer.scale.clone()
    record = avoid_ties(network)
    assert torch.equal(network.layers[0].quantizer.scale, before)
    assert record.moved == {}


def test_a_weights_scales_that_are_powers_of_two_stay_between_others_that_are_not():
    network, _ = small("conv")
    quantizer = network.layers[0].quantizer
    quantizer.scheme = replace(quantizer.scheme, power_of_two=True)
    before = quantizer.scale.clone()
    assert avoid_ties(network).moved == {"0": 0.0}
    assert torch.equal(quantizer.scale, before)


def two(function):
    """A network of what a function makes of two convolutions; its first three quantizers are the input's and theirs.

    A concatenation is read by a third one.
    """

    def whole(m, x):
        made = function(m.a(x), m.b(x))
        return m.c(made) if made.shape[1] == 8 else made

    layers = {"a": nn.Conv2d(4, 4, 1), "b": nn.Conv2d(4, 4, 1), "c": nn.Conv2d(8, 2, 1)}
    return quantized(Function(whole, **layers), images(8, 4, 5, 5))


@pytest.mark.parametrize("index", [1, 2, 3], ids=["the first term", "the second term", "the result"])
@pytest.mark.parametrize("function", [torch.add, lambda a, b: torch.cat([a, b], 1)], ids=["sum", "concatenation"])
def test_an_operator_with_a_scale_that_may_not_move_is_left_alone(function, index):
    network = two(function)
    quantizer = list(network.quantizers.values())[index]
    quantizer.scheme = replace(quantizer.scheme, power_of_two=True)
    before = scales(network)
    avoid_ties(network)
    assert scales(network) == before


def test_a_sum_with_a_factor_is_a_product_and_a_sum():
    """The factor is a stored number, whose scale stays."""
    network = two(lambda a, b: torch.add(a, b, alpha=3))
    avoid_ties(network)
    names = list(network.quantizers)
    factor = next(name for name in names if network.node(name).op == "get_attr")
    assert network.quantizers[factor].affine.scale.item() == pytest.approx(3 / 255)
    first, total = (network.quantizers[name].affine.scale.item() for name in ("a", names[-1]))
    assert is_odd_fraction(first / total)


def test_a_stored_operand_and_a_softmax_keep_their_scales():
    network = quantized(
        Function(lambda m, x: m.b((m.a(x).softmax(1) * 0.7) + m.a(x)), a=nn.Conv2d(4, 4, 1), b=nn.Conv2d(4, 2, 1)),
        images(8, 4, 5, 5),
    )
    before = dict(zip(network.quantizers, scales(network), strict=True))
    avoid_ties(network)
    after = dict(zip(network.quantizers, scales(network), strict=True))
    same = {name for name in before if before[name] == after[name]}
    assert "softmax" in same
    assert any(after[name] == pytest.approx(0.7 / 255) for name in same)


@pytest.mark.parametrize("ratio", [1e-30, 1e-12, 3e-6, float("inf")])
def test_a_search_ends_where_there_is_no_fraction(ratio):
    numerator, denominator = odd_fraction(tensor([ratio]).double())
    assert (numerator.item(), denominator.item()) == (0.0, 0.0)


@given(small=st.floats(1e-5, 1.0), large=st.floats(1.0, 1e6))
def test_two_terms_find_a_denominator_within_the_bound(small, large):
    numerators, denominator = odd_fraction(tensor([small, large]).double())
    if not denominator:
        assert small < 1 / (2 * TOLERANCE * LARGEST)  # above, rounding alone is fine enough
        return
    assert denominator.item() % 2 == 1
    assert denominator <= LARGEST
    assert bool(((numerators / denominator / tensor([small, large]).double() - 1).abs() <= TOLERANCE * 1.001).all())


def test_weights_next_to_nothing_keep_their_scales_and_are_told():
    network, _ = small("conv")
    with torch.no_grad():
        network.layers[0].stored_weight[2] *= 1e-12
    quantizer = network.layers[0].quantizer
    set_range_by(quantizer, network.layers[0], min_max)
    network.layers[0].owner.bias = None
    before = quantizer.scale.clone()
    record = avoid_ties(network)
    assert quantizer.scale[2] == before[2]
    assert not torch.equal(quantizer.scale, before)
    assert [(one.place, one.reason[:30]) for one in record.skipped] == [("0", "1 of its scales are so small b")]


def test_a_result_that_others_read_does_not_move_for_a_term_that_they_read_as_well():
    """The concatenation moves the sum and its first term; the second alone cannot give the sum odd fractions."""
    network = two(lambda a, b: torch.cat([a + b, a], 1))
    (skipped,) = avoid_ties(network).skipped
    assert skipped.reason == "other operators need its scales to be what they are"


def test_of_a_product_the_factor_moves_that_nobody_else_has_moved():
    network = two(lambda a, b: torch.cat([a * b, a], 1))
    avoid_ties(network)
    _, a, b, product, both, _ = scales(network)
    assert is_odd_fraction(a / both, largest=300)
    assert is_odd_fraction(product / both, largest=300)
    assert is_odd_fraction(a * b / product)


def test_a_network_without_ranges_is_left_alone():
    network = quantized(nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)), images(8, 4, 5, 5))
    fresh = network.copy()
    for quantizer in fresh.quantizers.values():
        quantizer.scale = None
    assert {skipped.place for skipped in avoid_ties(fresh).skipped} == {"0", "1"}
    calibrate(fresh, images(8, 4, 5, 5))
    assert avoid_ties(fresh).skipped == ()
