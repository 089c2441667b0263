import math

import pytest
import torch
from torch import tensor

from microjoule.deploy.output_agreement import Limits, OutputTally, decibel
from microjoule.errors import DataError
from microjoule.records.measured import OutputAgreement

INF = math.inf


def of(*batches):
    """What is found for batches of (deployed, simulated, fp32)."""
    tally, first = OutputTally("scores"), 0
    for batch in batches:
        values = [tensor(one) for one in batch]
        tally.update(*values, first=first, samples=len(values[0]))
        first += len(values[0])
    return tally.summary()


def test_ratios_by_hand():
    """FP32 [3, 4] and [0, 5], simulated [3, 4] and [1, 5], deployed [2, 4] and [1, 5].

    Against the simulation: 51 over 1. Against FP32: 50 over 2. The simulation against FP32: 50 over 1.
    """
    found = of(([[2.0, 4.0], [1.0, 5.0]], [[3.0, 4.0], [1.0, 5.0]], [[3.0, 4.0], [0.0, 5.0]]))
    assert found.sqnr_db == pytest.approx(10 * math.log10(51))
    assert found.fp32_sqnr_db == pytest.approx(10 * math.log10(25))
    assert found.simulated_fp32_sqnr_db == pytest.approx(10 * math.log10(50))
    assert (found.worst_sample, found.worst_db) == (0, pytest.approx(10 * math.log10(25)))
    assert found.worst_fp32_sample in (0, 1)


def test_the_worst_sample_is_counted_over_batches():
    right, wrong = [[1.0, 0.0]], [[1.0, 1.0]]
    slightly = [[1.0, 0.5]]
    found = of((right, right, right), (slightly, right, right), (wrong, right, right), (slightly, right, right))
    assert (found.worst_sample, found.worst_db) == (2, 0.0)


def test_equal_outputs_have_no_worst_sample():
    found = of(([[1.0]], [[1.0]], [[2.0]]))
    assert (found.sqnr_db, found.worst_sample, found.worst_fp32_sample) == (INF, None, 0)


def test_integers_are_counted():
    found = of(([[1, 2, 3, 4]], [[1, 2, 3, 5]], [[1, 2, 0, 0]]), ([[7, 7, 7, 7]], [[7, 7, 7, 7]], [[7, 7, 7, 7]]))
    assert (found.equal_share, found.fp32_equal_share, found.sqnr_db) == (7 / 8, 6 / 8, None)
    assert (found.worst_sample, found.worst_db) == (0, 0.75)


@pytest.mark.parametrize(("deployed", "sqnr"), [([[INF, 1.0]], INF), ([[1.0, 1.0]], -INF), ([[math.nan, 1.0]], -INF)])
def test_infinities_must_stand_in_the_same_places(deployed, sqnr):
    assert of((deployed, [[INF, 1.0]], [[INF, 1.0]])).sqnr_db == sqnr


def test_an_output_without_an_entry_for_each_sample_has_no_worst():
    tally = OutputTally("loss")
    tally.update(tensor(1.0), tensor(2.0), tensor(2.0), first=0, samples=4)
    assert tally.summary().worst_sample is None
    assert tally.summary().sqnr_db == pytest.approx(10 * math.log10(4))


def test_shapes_that_differ_are_refused():
    with pytest.raises(DataError, match=r"output boxes: has the shapes \(1, 2\) and \(1, 3\) and \(1, 3\)"):
        OutputTally("boxes").update(torch.zeros(1, 2), torch.zeros(1, 3), torch.zeros(1, 3), first=0, samples=1)


@pytest.mark.parametrize(
    ("signal", "noise", "ratio"), [(1.0, 0.0, INF), (0.0, 1.0, -INF), (100.0, 1.0, 20.0), (1, INF, -INF)]
)
def test_a_ratio_of_powers(signal, noise, ratio):
    assert decibel(signal, noise) == ratio


def output(near, far, between):
    return OutputAgreement("y", near, far, between)


@pytest.mark.parametrize(
    ("agreement", "limits", "problems"),
    [
        (output(20.0, 30.0, 30.0), Limits(), 0),
        (output(19.9, 30.0, 30.0), Limits(), 1),
        (output(30.0, 26.9, 30.0), Limits(), 1),
        (output(30.0, 27.1, 30.0), Limits(), 0),
        (output(80.0, 80.0, INF), Limits(), 0),  # sums in another order
        (output(30.0, 30.0, INF), Limits(), 1),
        (output(-INF, -INF, -INF), Limits(), 1),
        (output(30.0, 30.0, 30.0), Limits(fp32_db=31), 1),
        (output(30.0, 30.0, 30.0), Limits(simulated_db=31, fp32_db=31), 2),
        (OutputAgreement("y", None, None, None, 0.99, 0.5), Limits(), 0),
        (OutputAgreement("y", None, None, None, 0.98, 0.98), Limits(), 1),
    ],
)
def test_limits(agreement, limits, problems):
    found = limits.problems([agreement])
    assert len(found) == problems
    assert all(problem.startswith("output y ") for problem in found)
