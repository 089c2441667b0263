from dataclasses import replace

import pytest

from microjoule.records.measured import Costs, Evaluated
from microjoule.report.headline import FLASH, RAM, cards, lead
from tests.report.samples import compressed, costs, records


def by_label(history):
    return {card.label: card for card in cards(history)}


def test_the_sample_run_in_six_numbers():
    found = by_label(records())
    assert list(found) == ["Top-1 accuracy", FLASH, "Latency", RAM, "Energy", "MACs"]
    accuracy = found["Top-1 accuracy"]
    assert (accuracy.value, accuracy.change, accuracy.tone) == ("79.23 %", "\N{MINUS SIGN}0.46 ± 0.70 points", "")
    assert accuracy.before == (
        "79.69 % in FP32, 9 won, 12 lost of 650: no difference seen; about 6,100 samples would tell"
    )
    assert (found[FLASH].value, found[FLASH].change, found[FLASH].before) == ("3.66 MB", "0.26×", "14.0 MB in FP32")
    assert (found[RAM].value, found[RAM].change, found[RAM].tone) == ("1.20 MB", "0.25×", "good")
    assert (found["Latency"].value, found["Latency"].tone) == ("4.87 ms", "good")
    assert found["MACs"].before == "0.062× the bit operations"


def test_the_sentence_says_what_was_gained_and_what_it_cost():
    told = lead(records())
    assert told.startswith("data-free W8A8 against FP32: 26 % of the bytes, 43 % of the time, ")
    assert told.endswith("a change of −0.46 ± 0.70 points in Top-1 accuracy (no difference seen).")


def test_with_nothing_to_compare_there_is_no_sentence():
    history = [Evaluated("int8", "mIoU", 60.0, "%", 1, "photos", 1.0)]
    assert lead(history) == lead([]) == ""
    assert cards([]) == []
    assert by_label(history)["mIoU"].value == "60.00 %"
    assert by_label(history)["mIoU"].shares is None


def test_one_side_alone_is_shown_without_a_change():
    found = by_label([costs("fp32", 32)])
    assert found["Energy"].change == ""
    assert found["Energy"].value.endswith("mJ")
    assert found["MACs"].before == "for one sample"


def test_fewer_macs_are_compared():
    before, after = (
        Costs(stage, (), 1, 1, macs, 1, 1, 1, 1.0, "x") for stage, macs in (("fp32", 4000), ("pruned", 1000))
    )
    assert by_label([before, after])["MACs"].change == "0.25×"


def smaller(cost, unit, *stages):
    record = replace(compressed(), cost=cost, cost_unit=unit)
    return [Evaluated(stage, "top1", value, "%", 9, "photos", 1.0) for stage, value in stages] + [record]


def test_what_compression_spent_is_told():
    history = smaller("macs", "MACs", ("original", 80.0), ("compressed", 79.0))
    card = by_label(history)["MACs"]
    assert (card.value, card.before, card.change, card.tone) == ("5.00 M", "10.0 M in the original", "0.5×", "good")
    assert by_label(history)["top1"].before == "80.00 % in the original, error unknown"
    assert lead(history) == (
        "compressed against the original: 50 % of the MACs and a change of \N{MINUS SIGN}1.00 points in top1 "
        "(error unknown)."
    )


@pytest.mark.parametrize(("cost", "unit", "label"), [("bytes", "B", "Bytes"), ("energy", "pJ", "Energy")])
def test_quantizing_changes_bytes_and_energy_but_not_macs(cost, unit, label):
    stages = (("original", 80.0), ("compressed", 79.0), ("compressed W8A8", 78.5))
    assert label in by_label(smaller(cost, unit, *stages[:2]))
    assert label not in by_label(smaller(cost, unit, *stages))
    assert "MACs" in by_label(smaller("macs", "MACs", *stages))


def test_what_was_counted_of_the_result_goes_before_what_a_budget_counted():
    history = [*smaller("macs", "MACs"), *(Costs(one, (), 1, 1, 40, 1, 1, 1, 1.0, "x") for one in ("fp32", "int8"))]
    assert by_label(history)["MACs"].value == "40"


def test_more_is_worse_and_zero_before_is_no_ratio():
    before, after = (Costs(stage, (), 1, 1, 1, 1, 1, 1, pj, "x") for stage, pj in (("fp32", 1.0), ("W8", 2.0)))
    assert by_label([before, after])["Energy"].tone == "bad"
    empty = Costs("fp32", (), 1, 1, 1, 1, 1, 1, 0.0, "x")
    assert by_label([empty, after])["Energy"].change == ""
    assert lead([empty, after]) == "The result against FP32: 100 % of the RAM."
