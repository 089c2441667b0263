"""What to do about what hurts, in words."""

import math

import pytest

from microjoule.records.analysed import Sensitivities, Sensitivity
from microjoule.report.advice import (
    DIVERGENCE,
    ESTIMATE,
    SQNR,
    WORST,
    advice,
    by_quantizer,
    measure_of,
    noise_share,
    remedy,
    worst,
    worst_table,
)
from tests.report.samples import sensitivities


def row(bits, kl, *, kind="weight", name="conv.1", layer="conv.1", sqnr_db=20.0, proxy=0.1, value=None):
    return Sensitivity(name, kind, layer, bits, value, sqnr_db, kl, proxy)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([row(4, 0.31), row(8, 0.002)], "give it 8 bits"),
        ([row(2, 5.0), row(4, 0.4), row(8, 0.1)], "give it 4 bits"),
        ([row(4, math.inf), row(8, 0.5)], "give it 8 bits"),
        ([row(4, 0.012), row(8, 0.009)], "give it 8 bits"),
        ([row(4, 0.009), row(8, 0.008)], "leave it at 4 bits"),
        (
            [row(4, 0.9), row(8, 0.8)],
            "more bits do not heal it: fold constant channels, equalize or clip, or leave it in floating point",
        ),
        (
            [row(4, 0.9, kind="activation")],
            "try more bits: clip its range (rule=mse), or leave it in floating point",
        ),
    ],
    ids=["more bits", "the fewest that help", "infinite", "harmless then", "harmless", "not healed", "one width"],
)
def test_the_remedy(rows, words):
    assert remedy(rows, DIVERGENCE) == words


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ({}, "the weights of conv.1"),
        ({"kind": "activation", "name": "quantizers.relu"}, "the output of conv.1"),
        ({"kind": "activation", "name": "add", "layer": ""}, "ADD"),
    ],
    ids=["weights", "an output", "a value of no layer"],
)
def test_advice_names_the_place_and_the_numbers(place, words):
    def show(name):
        return "ADD" if name == "add" else name

    rows = [row(4, 0.31, **place), row(8, 0.25, **place)]
    assert advice(rows, DIVERGENCE, show).startswith(f"{words} (KL 0.310 at 4 bits, 0.250 at 8): more bits do not heal")


def test_a_measure_that_every_row_has_is_chosen():
    with_classes = Sensitivities("", "", None, 1, (row(4, 0.1), row(8, 0.0)), None)
    without = Sensitivities("", "", None, 1, (row(4, None), row(8, 0.0)), None)
    estimated = Sensitivities("", "", None, 1, (row(4, None, sqnr_db=None),), None)
    assert [measure_of(record) for record in (with_classes, without, estimated)] == [DIVERGENCE, SQNR, ESTIMATE]


def test_decibels_hurt_less_the_more_there_are():
    assert noise_share(20.0) == pytest.approx(0.01)
    assert noise_share(math.inf) == 0
    assert math.isfinite(noise_share(-math.inf))
    rows = [row(4, None, sqnr_db=12.0), row(8, None, sqnr_db=36.1)]
    assert advice(rows, SQNR, str) == "the weights of conv.1 (SQNR 12.0 dB at 4 bits, 36.1 dB at 8): give it 8 bits"


def test_rows_of_a_quantizer_stand_together_narrow_first():
    record = Sensitivities("", "", None, 1, (row(8, 0.1), row(4, 0.2, kind="activation"), row(4, 0.3)), None)
    assert [[(one.kind, one.bits) for one in rows] for rows in by_quantizer(record)] == [
        [("weight", 4), ("weight", 8)],
        [("activation", 4)],
    ]


def test_the_worst_come_first_and_not_all_of_them():
    found = worst(sensitivities())
    harms = [rows[0].kl for rows in found]
    assert harms == sorted(harms, reverse=True)
    assert len(found) == WORST
    assert harms[0] == max(one.kl for one in sensitivities().rows)


def test_the_table_by_hand():
    rows = (row(4, 0.2, value=50.0), row(8, 0.001, value=70.0), row(4, 0.5, name="b", layer="b", value=10.0))
    table = worst_table(Sensitivities("top1", "%", 71.0, 1, rows, None), str)
    assert [column.title for column in table.columns] == [
        *("quantizer", "kind", "KL at 4 bits", "KL at 8 bits", "top1 at 4 bits", "what to do"),
    ]
    assert [cell.text for cell in table.rows[0]][:5] == ["b", "weight", "0.500", "–", "10.00 %"]
    assert [cell.value for cell in table.rows[1]][:5] == ["conv.1", "weight", 0.2, 0.001, 50.0]
