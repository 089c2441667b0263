"""A difference in words: how large, how sure, and what would decide."""

from dataclasses import replace

import pytest

from microjoule.records.measured import Evaluated
from microjoule.report.comparisons import change, counts, seen, sentence, to_float, tone
from tests.report.samples import CONFIRMED, GOOD, NAIVE


def evaluated(compared=None, **changes):
    settings = {"metric": "top1", "unit": "%", "samples": 650, "data": "photos", "seconds": 1.0, **changes}
    return Evaluated(stage="int8", value=79.23, compared=compared, **settings)


def test_a_sentence_says_all_that_decides():
    assert sentence(evaluated(GOOD)) == (
        "int8: top1 79.23 % (FP32 79.69 %): −0.46 ± 0.70 points, 9 won, 12 lost of 650: no difference seen; "
        "about 6,100 samples would tell."
    )
    assert sentence(evaluated(NAIVE)).endswith("−78.00 ± 1.63 points, 0 won, 507 lost of 650: worse.")
    assert sentence(evaluated(replace(GOOD, reference="original"))).startswith(
        "int8: top1 79.23 % (the original 79.69 %)"
    )
    assert sentence(evaluated(replace(GOOD, reference="int16"))).startswith("int8: top1 79.23 % (int16 79.69 %)")


def test_without_a_comparison_the_reason_is_told_if_there_is_one():
    assert sentence(evaluated()) == "int8: top1 79.23 % on 650 samples."
    assert sentence(evaluated(apart="they differ")) == (
        "int8: top1 79.23 % on 650 samples; not compared with the network in floating point: they differ."
    )


UNKNOWN = replace(GOOD, standard_error=None, low=None, high=None, won=None, lost=None, method="it gives no scores")


def test_an_error_that_is_not_known_is_said_to_be():
    assert (change(UNKNOWN), counts(UNKNOWN)) == ("−0.46 points", "on 650 samples")
    assert seen(UNKNOWN) == "error unknown: it gives no scores"


@pytest.mark.parametrize(
    ("needed", "words"),
    [
        (None, "no difference seen"),
        (650, "no difference seen"),
        (651, "no difference seen; about 650 samples would tell"),
        (123_456, "no difference seen; about 120,000 samples would tell"),
    ],
)
def test_how_many_samples_would_tell(needed, words):
    assert seen(replace(GOOD, samples_to_decide=needed)) == words


def test_only_what_is_beyond_its_error_is_good_or_bad():
    better = replace(GOOD, low=0.1, high=0.9)
    assert [tone(one) for one in (GOOD, NAIVE, better, UNKNOWN, -5.0, None)] == ["", "bad", "good", "", "", ""]


def test_a_stage_is_held_against_fp32():
    exact = replace(evaluated(), stage="fp32", value=79.69)
    assert to_float(evaluated(CONFIRMED), [exact]) == CONFIRMED
    assert to_float(evaluated(replace(CONFIRMED, reference="int16")), [exact]) == pytest.approx(-0.46)
    assert to_float(exact, [exact]) is None
    assert to_float(evaluated(), []) is None
