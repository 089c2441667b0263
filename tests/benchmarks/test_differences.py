"""Differences over seeds, by hand: their errors have the samples' part and the seeds'."""

import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.differences import above, below, difference_in_words, mean, score
from microjoule.records.compared import SampleScores
from microjoule.records.measured import Evaluated

N = 40


def evaluated(stage, wrong, **changes):
    scores = [100.0 * (at not in wrong) for at in range(N)]
    made = Evaluated(stage, "top1", sum(scores) / N, "%", N, "photos", 1.0, samples_id="abc")
    return replace(made, scores=SampleScores.of(scores), **changes)


EXACT = evaluated("FP32", {0, 1, 2, 3})
FOUND = [evaluated("gptq", wrong) for wrong in ({0, 1, 2, 4, 5}, {0, 1, 2, 3, 4, 6, 7}, {0, 1, 2, 3})]


def test_one_network_is_told_as_it_is_compared():
    found = below("net", EXACT, FOUND[:1], goal="<= 20", told="from noise")
    assert (found.name, found.unit, found.goal, found.state) == ("net", "points", "<= 20", "met")
    assert found.value == pytest.approx(2.5)
    assert found.error == pytest.approx(100 * math.sqrt((3 - 1 / N) / (N * (N - 1))))
    assert found.compared_with == "gptq 87.50, FP32 90.00, 40 samples; 1 won, 2 lost; from noise"
    assert found.evidence == {"values": [2.5], "samples": 40, "method": "paired by sample", "won": [1], "lost": [2]}
    assert found.interval[0] < 0 < found.interval[1]


def test_over_seeds_both_errors_count():
    found = below("net", EXACT, FOUND)
    values = [2.5, 7.5, 0.0]
    assert found.value == pytest.approx(10 / 3)
    scores = [np.array(one.scores.unpacked()) - EXACT.scores.unpacked() for one in FOUND]
    samples = np.mean(scores, axis=0).std(ddof=1) / math.sqrt(N)
    assert found.error == pytest.approx(math.hypot(samples, np.std(values, ddof=1) / math.sqrt(3)))
    assert found.interval == pytest.approx(
        (found.value - 2.0226909 * found.error, found.value + 2.0226909 * found.error)  # Student's t, 39 degrees
    )
    assert found.compared_with.endswith("1, 0, 0 won, 2, 3, 0 lost; 3 seeds: 2.50, 7.50, 0.00")


def test_above_is_the_other_way_round():
    down, up = below("net", EXACT, FOUND[:1]), above("net", EXACT, FOUND[:1])
    assert (up.value, up.error) == (-down.value, down.error)
    assert up.interval == (-down.interval[1], -down.interval[0])
    assert above("net", FOUND, FOUND).value == 0
    assert above("net", EXACT, FOUND).value == -below("net", EXACT, FOUND).value


def test_where_less_is_better_more_is_below():
    lower = [replace(one, higher_is_better=False) for one in (EXACT, FOUND[0])]
    assert below("errors", lower[0], lower[1:]).value == -2.5


@pytest.mark.parametrize("count", [1, 3])
def test_without_scores_of_samples_there_is_no_error(count):
    bare = [replace(one, scores=None) for one in FOUND[:count]]
    found = below("net", EXACT, bare, goal="<= 3")
    assert (found.error, found.interval) == (None, None)
    assert "won" not in found.evidence


def test_a_value_alone():
    found = score("net FP32", EXACT, "4 layers")
    assert (found.value, found.unit, found.error, found.compared_with) == (90.0, "%", None, "40 samples; 4 layers")


def test_the_mean_over_seeds_has_an_error_of_its_own():
    found = mean("net", FOUND, goal=">= 50")
    values = [87.5, 82.5, 90.0]
    samples = np.mean([one.scores.unpacked() for one in FOUND], axis=0).std(ddof=1) / math.sqrt(N)
    assert found.value == pytest.approx(260 / 3)
    assert found.error == pytest.approx(math.hypot(samples, np.std(values, ddof=1) / math.sqrt(3)))
    assert found.state == "met"


def test_a_difference_in_words():
    assert difference_in_words(FOUND[0], EXACT) == "87.50 (2.50 ± 4.37 below FP32)"
    assert difference_in_words(replace(FOUND[0], scores=None), EXACT) == "87.50 (2.50 below FP32)"
