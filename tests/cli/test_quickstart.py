"""`microjoule quickstart`: everything once, on the network that comes with the package."""

import pytest


@pytest.mark.slow
def test_it_writes_the_report_and_the_integer_model(command, tmp_path):
    code, out, err = command("quickstart", "--out", tmp_path)
    assert code == 0, err
    assert "report.html" in out
    assert {"report.html", "int8.onnx", "fp32.onnx"} <= {path.name for path in tmp_path.iterdir()}
