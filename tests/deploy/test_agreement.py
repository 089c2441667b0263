import math

import pytest
import torch
from torch import tensor

from microjoule.deploy.agreement import Comparison, Tally, departs
from microjoule.deploy.output_agreement import Limits, OutputTally
from microjoule.errors import DataError


def test_differences_are_gathered_by_hand():
    """Signals count from the zero point 10: 1 + 4 + 100 + 0 = 105; noise 0 + 1 + 4 + 0 = 5."""
    tally = Tally(10)
    tally.update(tensor([11, 12]), tensor([11, 13]))
    tally.update(tensor([20, 10]), tensor([18, 10]))
    found = tally.summary("value")
    assert (found.name, found.largest_steps, found.equal_share, found.within_one_step_share) == ("value", 2, 0.5, 0.75)
    assert found.sqnr_db == pytest.approx(10 * math.log10(105 / 5))


def test_unsigned_bytes_are_subtracted_without_wrapping_around():
    tally = Tally(0)
    tally.update(tensor([0]).byte(), tensor([255]).byte())
    assert tally.largest == 255


@pytest.mark.parametrize(("expected", "got", "sqnr"), [([3, 4], [3, 4], math.inf), ([0, 0], [1, 0], -math.inf)])
def test_without_noise_or_signal_the_ratio_is_infinite(expected, got, sqnr):
    tally = Tally(0)
    tally.update(tensor(expected), tensor(got))
    assert tally.summary("value").sqnr_db == sqnr


def test_shapes_that_differ_are_refused():
    with pytest.raises(DataError, match=r"shapes \(2,\) and \(1,\) differ"):
        Tally(0).update(tensor([1, 2]), tensor([1]))


def compared(*pairs):
    comparison = Comparison(
        "runtime", "a with b", {str(i): Tally(0) for i in range(len(pairs))}, [OutputTally("output")]
    )
    for index, (expected, got) in enumerate(pairs):
        comparison.update(str(index), tensor(expected), tensor(got))
    simulated, deployed = tensor([[0.0, 1.0], [1.0, 0.0]]), tensor([[0.0, 1.0], [0.0, 1.0]])
    comparison.batch_sizes.append(2)
    comparison.update_outputs([deployed], [simulated], [simulated], samples=2)
    return comparison.record("file", len(pairs), reference="FP32", limits=Limits())


def test_the_first_layer_that_departs_is_named():
    assert compared(([0], [1]), ([0], [2]), ([0], [5])).first_departure == "1"
    assert compared(([0], [1])).first_departure is None


def test_one_in_a_thousand_may_be_further_apart():
    assert compared(([0] * 1000, [2] + [0] * 999)).first_departure is None
    assert compared(([0] * 999, [2] + [0] * 998)).first_departure == "0"


def test_a_value_without_entries_departs_from_nothing():
    record = compared(([], []))
    assert (record.first_departure, record.layers[0].equal_share) == (None, 1.0)


def test_the_largest_outputs_are_counted():
    record = compared(([0], [0]))
    assert (record.samples, record.top1_agreement, record.runtime, record.path) == (2, 0.5, "runtime", "file")
    assert (record.compared, record.reference, record.batch_sizes) == ("a with b", "FP32", (2,))
    assert record.outputs[0].worst_sample == 1
    assert not record.passed  # half of the output's power is wrong


@pytest.mark.parametrize("output", [torch.zeros(2, 1), torch.zeros(2, 3, 4), torch.zeros(2, 3, dtype=torch.int64)])
def test_outputs_that_are_no_scores_of_classes_have_no_largest(output):
    comparison = Comparison("runtime", "", {}, [OutputTally("output")])
    comparison.update_outputs([output], [output], [output], samples=2)
    assert comparison.record("file", 0, reference="", limits=Limits()).top1_agreement is None


@pytest.mark.parametrize(("rounding", "expected"), [(0.0, True), (2.9, True), (3.0, False)])
def test_a_value_departs_only_beyond_what_rounding_moves(rounding, expected):
    tally = Tally(0, rounding=rounding)
    tally.update(tensor([0, 0]), tensor([25, 0]))
    assert departs(tally.summary("value")) is expected
