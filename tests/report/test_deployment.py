import math
from dataclasses import replace

import pytest

from microjoule.records.measured import IntegerShare, LayerAgreement, OutputAgreement, Verified
from microjoule.report.deployment import (
    agreements,
    furthest,
    outputs_table,
    references,
    share_of,
    share_table,
    share_text,
    verdict,
)
from tests.report.samples import integer_share, records

INF = math.inf
LAYERS = (LayerAgreement("conv", 1, 0.9, 0.9999, 40.0), LayerAgreement("head", 0, 1.0, 1.0, INF))
RECORD = Verified(
    "runtime", "x.onnx", 64, LAYERS, None, 0.5, 3, "x.onnx in a runtime against the simulation", "FP32 weights"
)


def of(*outputs, **fields):
    return replace(RECORD, outputs=outputs, **fields)


def texts(table):
    return [[cell.text for cell in row] for row in table.rows]


NEAR = OutputAgreement("y", 41.24, 30.0, 30.0, None, None, 17, 25.3, 4, 20.0)
EQUAL = OutputAgreement("y", INF, 30.0, 30.0, None, None, None, None, 4, 20.0)
EXACT = OutputAgreement("y", INF, INF, INF)
CLASSES = OutputAgreement("classes", None, None, None, 0.9, 0.8, 3, 0.5, 3, 0.5)


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        (of(), "runtime: no layer departs."),
        (
            of(NEAR),
            "runtime: no layer departs, and end to end the output agrees to 41.2 dB with the simulation and to 30.0 dB "
            "with FP32; worst sample 17: 25.3 dB to the simulation.",
        ),
        (
            of(EQUAL),
            "runtime: no layer departs, and end to end the output is equal to the simulation and to 30.0 dB with FP32; "
            "worst sample 4: 20.0 dB to FP32.",
        ),
        (
            of(EXACT),
            "runtime: no layer departs, and end to end the output is equal to the simulation and equal to FP32.",
        ),
        (
            of(NEAR, CLASSES),
            "runtime: no layer departs, and end to end output classes, the furthest of 2, has 90.00 % of the entries of "
            "the simulation and 80.00 % of those of FP32; worst sample 3: 50.00 % to the simulation.",
        ),
        (
            of(first_departure="conv", problems=("output y is wrong", "so is z")),
            "runtime: conv departs first. It fails: output y is wrong; so is z.",
        ),
    ],
)
def test_the_verdict_says_both(record, sentence):
    assert verdict(record) == sentence


def test_the_furthest_output_is_that_with_the_least_ratio_to_the_simulation():
    far = replace(NEAR, name="far", sqnr_db=-INF)
    assert furthest(of(NEAR, far, EQUAL)) is far
    assert furthest(of(EQUAL, replace(EQUAL, name="z", fp32_sqnr_db=10.0))).name == "z"
    assert furthest(of(EXACT, replace(CLASSES, equal_share=1.0))).name == "y"
    assert furthest(of()) is None


def test_a_line_says_what_was_compared_with_what():
    (row,) = texts(agreements([of(NEAR)]))
    told = "x.onnx in a runtime against the simulation"
    assert row == ["runtime", told, "64", "2 of 3", "1", "99.99 %", "none", "41.2 dB", "30.0 dB", "50.00 %", "passes"]


def test_the_integer_runner_stands_beside_no_file():
    runner = Verified("integer runner", "", 64, LAYERS, None, None, compared="the network; no file is run")
    assert "x.onnx" not in str(texts(agreements([runner])))


def test_a_record_without_anything_is_dashes_and_a_departure_is_bad():
    table = agreements([Verified("integer runner", "x", 1, (), "conv", None)])
    assert texts(table) == [["integer runner", "x", "1", "0", "–", "–", "conv", "–", "–", "–", "fails"]]
    assert (table.rows[0][6].tone, table.rows[0][-1].tone) == ("bad", "bad")


def test_equal_outputs_are_called_equal_and_integers_have_shares():
    assert texts(outputs_table([of(EQUAL, CLASSES)])) == [
        ["runtime", "y", "equal", "–", "30.0 dB", "4: 20.0 dB", "30.0 dB"],
        ["runtime", "classes", "90.00 %", "3: 50.00 %", "80.00 %", "3: 50.00 %", "–"],
    ]


def test_what_fp32_means_is_told():
    assert references([of(NEAR, batch_sizes=(8, 7, 3))]) == " FP32 is FP32 weights. Samples at once: 3, 7, 8."
    assert references([of()]) == ""


def test_what_stays_in_floating_point_is_told_with_the_reason():
    assert share_text(integer_share()) == (
        "97.78 % of the multiply-accumulates run in integers in onnxruntime 1.31.1. In floating point: 2.00 % as ONNX "
        "Runtime has no integer kernel for ConvTranspose; 0.22 % as its weight is not quantized. 1 DequantizeLinear left "
        "in 40 nodes."
    )
    assert texts(share_table(integer_share()))[0] == [
        "up", "ConvTranspose", "900", "2.00 %", "ONNX Runtime has no integer kernel for ConvTranspose",
    ]  # fmt: skip


def test_a_network_without_products_is_all_in_integers():
    empty = IntegerShare("", "r", (), 3, 0, 0)
    assert (
        share_text(empty)
        == "100 % of the multiply-accumulates run in integers in r; 0 DequantizeLinears left in 3 nodes."
    )
    assert share_table(empty).rows == ()


def test_the_latest_file_counts():
    assert share_of(records()) == integer_share()
    other = replace(integer_share(), nodes=7)
    assert share_of([*records(), of(integers=other)]) is other
    assert share_of([of()]) is None
