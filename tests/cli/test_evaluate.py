"""`microjoule evaluate`: a metric on labelled data."""


def test_the_quantized_network_is_scored(document, quantized):
    found = document("evaluate", quantized, "--data", "zoo:digits_test")
    (record,) = [record for record in found["records"] if record["record"] == "Evaluated"]
    assert record["samples"] == 540
    assert record["value"] > 95


def test_an_unknown_metric_is_refused(command, quantized):
    code, _, err = command("evaluate", quantized, "--data", "zoo:digits_test", "--metric", "beauty")
    assert code == 2
    assert "beauty" in err
