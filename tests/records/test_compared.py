"""Scores of samples as texts, and what a comparison says."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microjoule.errors import DataError
from microjoule.records import compared
from microjoule.records.compared import JACKKNIFE, Compared, SampleScores, part_edges

BASE = Compared("top1", "%", "int8", "fp32", 77.0, 77.5, -0.5, 0.7, -1.9, 0.9, 9, 12, 0.66, 650, 5096, "paired")


@pytest.mark.parametrize("count", [1, 7, 8, 9, 100])
def test_right_and_wrong_take_a_bit_a_sample(count):
    values = [100.0 * (at % 3 == 0) for at in range(count)]
    scores = SampleScores.of(values)
    assert scores.unpacked() == values
    assert (scores.count, scores.low, scores.high) == (count, min(values), max(values))
    assert len(scores.values) <= count / 8 * 4 / 3 + 5


@given(st.lists(st.sampled_from([0.1, 0.7]), min_size=1, max_size=40))
def test_any_two_values_come_back_exactly(values):
    assert SampleScores.of(values).unpacked() == values


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=3, max_size=20, unique=True))
def test_numbers_come_back_in_single_precision(values):
    scores = SampleScores.of(values)
    assert scores.unpacked() == values
    assert (scores.low, scores.high) == (None, None)


def test_pseudo_values_are_numbers_even_if_there_are_two():
    assert SampleScores.of([1.0, 2.0], JACKKNIFE).low is None


def test_more_than_can_be_stored_become_the_means_of_parts(monkeypatch):
    monkeypatch.setattr(compared, "MOST_NUMBERS", 3)
    monkeypatch.setattr(compared, "MOST_BITS", 4)
    assert SampleScores.of([1.0, 2.0, 3.0, 4.0, 5.0]).unpacked() == [1.0, 2.5, 4.5]
    found = SampleScores.of([0.0, 1.0, 1.0, 1.0, 0.0])
    assert (found.count, found.unpacked(), found.low) == (3, [0.0, 1.0, 0.5], None)


def test_parts_are_of_one_size_up_to_one():
    assert part_edges(7, 3) == [0, 2, 4, 7]
    assert part_edges(4, 4) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "changes",
    [
        {"values": "!"},
        {"values": "AAA"},
        {"count": 17},
        {"count": -9},
        {"low": None},
        {"values": ""},
        {"count": 10**30},
    ],
    ids=str,
)
def test_damaged_scores_are_refused(changes):
    whole = SampleScores.of([0.0, 100.0] * 6)
    with pytest.raises(DataError, match="scores of samples: are damaged"):
        replace(whole, **changes).unpacked()


@pytest.mark.parametrize(
    ("low", "high", "higher", "verdict"),
    [
        (-1.9, 0.9, True, "no difference seen"),
        (0.0, 0.9, True, "no difference seen"),
        (-1.9, -0.1, True, "worse"),
        (0.1, 0.9, True, "better"),
        (0.1, 0.9, False, "worse"),
        (-1.9, -0.1, False, "better"),
        (None, None, True, "error unknown"),
    ],
)
def test_better_and_worse_are_beyond_the_interval(low, high, higher, verdict):
    assert replace(BASE, low=low, high=high, higher_is_better=higher).verdict == verdict


@pytest.mark.parametrize(
    ("drop", "within"), [(2.0, "met"), (1.9, "met"), (1.0, "undecided"), (-0.9, "undecided"), (-1.0, "not met")]
)
def test_a_drop_is_kept_or_not_or_undecided(drop, within):
    assert BASE.within(drop) == within
    turned = replace(BASE, difference=0.5, low=-0.9, high=1.9, higher_is_better=False)
    assert turned.within(drop) == within
    assert (BASE.drop, turned.drop) == (0.5, 0.5)


def test_without_an_error_nothing_is_decided():
    assert replace(BASE, low=None, high=None).within(math.inf) == "undecided"
