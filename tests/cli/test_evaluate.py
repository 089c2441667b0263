"""`microjoule evaluate`: a metric on labelled data, and whether it differs from FP32's."""

import pytest

from tests.cli.conftest import MODEL

FEW = ["--data", "zoo:digits_test", "--samples", 24]


def evaluated(found):
    (record,) = [record for record in found["records"] if record["record"] == "Evaluated"]
    return record


@pytest.mark.slow
def test_it_is_compared_with_the_score_in_floating_point_or_with_another_model(document, command, quantized):
    def score(*words):
        return evaluated(document("evaluate", *words))

    other = score(quantized, *FEW, "--reference", MODEL)["compared"]
    exact = score(MODEL, *FEW, "--keep", quantized)
    assert exact["compared"] is None
    found = score(quantized, *FEW, "--keep", quantized)["compared"]
    assert found == other
    assert (found["reference"], found["reference_value"], found["samples"]) == ("fp32", exact["value"], 24)
    code, out, _ = command("evaluate", quantized, *FEW)
    assert code == 0
    assert f"{found['won']} won, {found['lost']} lost of 24: no difference seen" in out
    fewer = score(quantized, "--data", "zoo:digits_test", "--samples", 12)
    assert (fewer["compared"], fewer["apart"]) == (None, "one is scored on 12 samples, the other on 24")
    again = score(MODEL, *FEW, "--stage", "again", "--keep", quantized)["compared"]
    assert (again["difference"], again["reference"]) == (0.0, "fp32")


def test_the_quantized_network_is_scored(document, quantized):
    found = document("evaluate", quantized, "--data", "zoo:digits_test")
    (record,) = [record for record in found["records"] if record["record"] == "Evaluated"]
    assert record["samples"] == 540
    assert record["value"] > 95


def test_an_unknown_metric_is_refused(command, quantized):
    code, _, err = command("evaluate", quantized, "--data", "zoo:digits_test", "--metric", "beauty")
    assert code == 2
    assert "beauty" in err
