import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microjoule.report import units

MINUS = "\N{MINUS SIGN}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.00123, "0.00123"),
        (0.123, "0.123"),
        (0.9996, "1.00"),
        (1.234, "1.23"),
        (9.996, "10.0"),
        (99.96, "100"),
        (1234567.0, "1,234,567"),
        (-2.5, f"{MINUS}2.50"),
        (math.inf, "∞"),
        (-math.inf, f"{MINUS}∞"),
        (math.nan, "not a number"),
    ],
)
def test_three_digits_by_hand(value, text):
    assert units.digits(value) == text


@pytest.mark.parametrize(
    ("show", "value", "text"),
    [
        (units.size, 999, "999 B"),
        (units.size, 3_655_204, "3.66 MB"),
        (units.size, 999_999, "1.00 MB"),
        (units.count, 320, "320"),
        (units.count, 300_774_272, "301 M"),
        (units.count, 4_100_000_000, "4.10 G"),
        (units.energy, 0.0, "0 J"),
        (units.energy, 63_000_000.0, "63.0 µJ"),
        (units.energy, 1.16e9, "1.16 mJ"),
        (units.energy, 2.5, "2.50 pJ"),
        (units.latency, 4.87, "4.87 ms"),
        (units.latency, 0.25, "250 µs"),
        (units.latency, 1500.0, "1.50 s"),
        (units.duration, 12.4, "12.4 s"),
        (units.duration, 125.0, "2 min 5 s"),
        (units.times, 0.0541, "0.054×"),
        (units.times, 0.262, "0.26×"),
        (units.times, 2.07, "2.1×"),
        (units.times, 51.3, "51×"),
        (units.times, math.inf, "∞×"),
        (units.percent, 1.0, "100 %"),
        (units.percent, 0.99999, "> 99.99 %"),
        (units.percent, 0.00001, "< 0.01 %"),
        (units.percent, 0.0, "0 %"),
        (units.percent, 0.9985, "99.85 %"),
        (units.rounded_percent, 0.262, "26 %"),
        (units.rounded_percent, 0.054, "5.4 %"),
        (units.decibel, -0.44, f"{MINUS}0.4"),
        (units.decibel, math.inf, "∞"),
    ],
)
def test_units_by_hand(show, value, text):
    assert show(value) == text


@pytest.mark.parametrize(
    ("change", "unit", "text"),
    [(-0.46, "%", f"{MINUS}0.46 points"), (0.5, "dB", "+0.50 dB"), (-0.001, "%", "0.00 points"), (1.0, "", "+1.00")],
)
def test_a_difference_has_its_sign_and_percent_differ_by_points(change, unit, text):
    assert units.difference(change, unit) == text


def test_nothing_to_divide_by_is_a_dash():
    assert units.ratio(3, 0) == units.NONE
    assert units.ratio(1, 4) == "0.25×"


def test_a_column_has_the_same_decimals_and_small_is_not_shown_as_nothing():
    assert [units.fixed(value, 29.9) for value in (29.9, 1.54, 0.0, 0.01)] == ["29.9", "1.5", "0.0", "< 0.1"]
    assert units.fixed(0.367, 7.3) == "0.37"
    assert units.fixed(120.4, 400) == "120"


@given(st.floats(min_value=1e-11, max_value=1e15))
def test_a_prefix_leaves_one_to_a_thousand(value):
    shown = value / 10.0 ** units.exponent(value)
    assert 0.99 < shown < 1000
    assert not units.digits(shown).startswith("1,")


@pytest.mark.parametrize(("number", "told"), [(0, "0 layers"), (1, "1 layer"), (2, "2 layers"), (1234, "1,234 layers")])
def test_a_number_of_things(number, told):
    assert units.many(number, "layer") == told


def test_a_cost_is_named_as_people_write_it_and_its_unit_once():
    assert [units.cost_name(cost) for cost in ("macs", "bops", "energy")] == ["MACs", "bit operations", "energy"]
    assert [units.cost_axis(*pair) for pair in (("macs", "MACs"), ("energy", "pJ"), ("things", ""))] == [
        "MACs",
        "energy (pJ)",
        "things",
    ]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((-0.464, 0.706, "%"), "−0.46 ± 0.71 points"),
        ((0.464, 0.0, "dB"), "+0.46 ± 0.00 dB"),
        ((0.464, 0.706, ""), "+0.46 ± 0.71"),
        ((-0.464, None, "%"), "−0.46 points"),
    ],
)
def test_a_change_with_its_error(given, told):
    assert units.with_error(*given) == told


@pytest.mark.parametrize(
    ("given", "told"),
    [((77.084, 0.706, "%"), "77.08 ± 0.71 %"), ((77.0, None, "dB"), "77.00 dB"), ((1.0, 0.5, ""), "1.00 ± 0.50")],
)
def test_a_value_with_the_error_of_its_difference(given, told):
    assert units.value_with_error(*given) == told


@pytest.mark.parametrize(
    ("number", "told"), [(7, "7"), (42, "42"), (651, "650"), (6093, "6,100"), (123_456, "120,000")]
)
def test_a_rough_count_has_two_digits_that_matter(number, told):
    assert units.rough(number) == told
