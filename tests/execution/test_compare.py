"""Two evaluations on the same samples: by hand, and what cannot be compared."""

import math
from dataclasses import replace

import pytest

from microjoule.errors import DataError
from microjoule.execution.compare import compare, error_of_difference, why_apart
from microjoule.records.compared import JACKKNIFE, SampleScores
from microjoule.records.json_io import from_json, to_json
from microjoule.records.measured import Evaluated


def evaluated(stage, scores, *, kind="mean", **changes):
    value = math.fsum(scores) / len(scores)
    made = Evaluated(stage, "top1", value, "%", len(scores), "photos", 1.0, samples_id="abc")
    return replace(made, scores=SampleScores.of(scores, kind), **changes)


def right(*places, samples=20):
    return [100.0 * (at in places) for at in range(samples)]


FLOAT = evaluated("fp32", right(*range(16)))
INT8 = evaluated("int8", right(*range(13), 17))


def test_the_difference_by_hand():
    found = compare(INT8, FLOAT)
    assert (found.value, found.reference_value, found.difference) == (70.0, 80.0, -10.0)
    assert (found.stage, found.reference, found.samples, found.method) == ("int8", "fp32", 20, "paired by sample")
    assert (found.won, found.lost, found.p_value) == (1, 3, 10 / 16)
    # four differ: squares 4 - 4/20 in 19 * 20
    assert found.standard_error == pytest.approx(100 * math.sqrt((4 - 4 / 20) / (19 * 20)))
    # half a sample in each cell: 1.5 and 3.5 of 22, with Student's t of 19 degrees of freedom
    width = 2.093024 * math.sqrt(5 - 4 / 22) / 22
    assert (found.low, found.high) == (pytest.approx(100 * (-2 / 22 - width)), pytest.approx(100 * (-2 / 22 + width)))
    assert found.samples_to_decide == math.ceil(20 * (2 * found.standard_error / 10) ** 2) == 80
    assert found.verdict == "no difference seen"
    assert from_json(to_json([replace(INT8, compared=found)])) == [replace(INT8, compared=found)]


def test_the_other_way_round_it_is_the_opposite():
    one, other = compare(INT8, FLOAT), compare(FLOAT, INT8)
    assert (other.difference, other.won, other.lost) == (10.0, one.lost, one.won)
    assert (other.low, other.high) == (pytest.approx(-one.high), pytest.approx(-one.low))
    assert (other.standard_error, other.p_value) == (one.standard_error, one.p_value)


def test_where_lower_is_better_more_is_lost():
    found = compare(replace(INT8, higher_is_better=False), replace(FLOAT, higher_is_better=False))
    assert (found.won, found.lost, found.drop, found.verdict) == (3, 1, -10.0, "no difference seen")


def test_equal_networks_leave_room_for_a_difference():
    found = compare(FLOAT, replace(FLOAT, stage="int8"))
    assert (found.standard_error, found.won, found.lost, found.samples_to_decide) == (0.0, 0, 0, None)
    assert -found.low == found.high == pytest.approx(100 * 2.093024 / 22)
    assert (found.within(20.0), found.within(1.0)) == ("met", "undecided")


@pytest.mark.parametrize(
    ("value", "unit", "width"), [(100.0, "%", 100), (0.0, "%", 100), (1.0, "", 1), (0.0, "", 1)], ids=str
)
def test_that_all_are_right_or_all_wrong_is_no_proof_that_all_will_be(value, unit, width):
    made = evaluated("fp32", [value] * 20, unit=unit)
    assert compare(made, made).high == pytest.approx(width * 2.093024 / 22)


def test_numbers_have_no_counted_interval():
    one, other = evaluated("int8", [1.0, 2.5, 3.0]), evaluated("fp32", [1.0, 2.0, 4.0])
    found = compare(one, other)
    error = math.sqrt(((1 / 6) ** 2 + (4 / 6) ** 2 + (5 / 6) ** 2) / 2 / 3)
    assert found.standard_error == pytest.approx(error)
    assert found.high - found.difference == pytest.approx(4.302653 * error)
    assert (found.won, found.lost) == (1, 1)


def test_the_jackknife_counts_no_samples():
    found = compare(
        evaluated("int8", [1.0, 2.0, 6.0], kind=JACKKNIFE), evaluated("fp32", [1.0, 2.0, 3.0], kind=JACKKNIFE)
    )
    assert (found.won, found.lost, found.p_value, found.method) == (None, None, None, "jackknife over 3 samples")
    assert found.standard_error == pytest.approx(1.0)
    parts = replace(found, samples=9)
    assert parts.standard_error == found.standard_error


def test_parts_of_samples_are_told():
    made = evaluated("int8", [1.0, 2.0, 6.0], kind=JACKKNIFE, samples=3000)
    assert compare(made, made).method == "jackknife over 3 parts of the samples"
    made = evaluated("int8", [1.0, 2.0, 6.0], samples=3000)
    found = compare(made, made)
    assert (found.method, found.won) == ("paired by 3 parts of the samples", None)


@pytest.mark.parametrize(
    ("changes", "method"),
    [
        ({"scores": None}, "the metric gives no scores of samples"),
        ({"scores": SampleScores.of([math.inf, 1.0, 2.0])}, "the metric gives no scores of samples"),
        ({"value": math.inf}, "the scores are not finite"),
        ({"scores": SampleScores.of([math.inf, *range(19)])}, "the scores are not finite"),
    ],
    ids=["none", "another number of them", "an infinite metric", "an infinite score"],
)
def test_without_scores_there_is_a_difference_without_an_error(changes, method):
    found = compare(replace(INT8, **changes), FLOAT)
    assert (found.standard_error, found.low, found.won, found.verdict) == (None, None, None, "error unknown")
    assert (found.method, found.difference) == (method, replace(INT8, **changes).value - 80.0)


def test_one_sample_has_no_error():
    one = evaluated("int8", [100.0])
    assert compare(one, one).method == "one sample alone has no error"
    assert error_of_difference(one.scores, one.scores) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"metric": "ap50"}, "one is scored by ap50, the other by top1"),
        ({"unit": ""}, "one is scored by top1, the other by top1"),
        ({"samples_id": ""}, "it is not known whether both are scored on the same samples"),
        ({"samples": 19}, "one is scored on 19 samples, the other on 20"),
        ({"samples_id": "abd"}, "they are scored on other samples, or on the same ones in another order"),
    ],
    ids=str,
)
def test_only_scores_of_the_same_samples_are_compared(changes, reason):
    other = replace(INT8, **changes)
    assert why_apart(other, FLOAT) == reason
    with pytest.raises(DataError, match=f"int8 against fp32: {reason}\n.* without shuffle"):
        compare(other, FLOAT)


def test_the_name_of_the_data_does_not_matter():
    assert why_apart(replace(INT8, data="elsewhere"), FLOAT) is None


def test_the_error_alone():
    assert error_of_difference(INT8.scores, FLOAT.scores) == compare(INT8, FLOAT).standard_error
    assert error_of_difference(None, FLOAT.scores) is None
