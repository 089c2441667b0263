"""`microjoule export`, `verify` and `measure`: the file, and whether it is what was simulated."""

import pytest


@pytest.mark.slow
def test_the_file_is_written_verified_and_measured(document, quantized, tmp_path):
    path = tmp_path / "digits.onnx"
    document("export", quantized, "--out", path)
    assert path.stat().st_size > 10_000
    found = document("verify", quantized, path, "--data", "zoo:digits_test", "--samples", "16")
    verified = [record for record in found["records"] if record["record"] == "Verified"]
    assert verified
    assert all(record["first_departure"] is None for record in verified)
    measured = document("measure", path, "--runs", "3")
    (record,) = [record for record in measured["records"] if record["record"] == "Measured"]
    assert record["latency_ms"] > 0


def test_only_onnx_files_are_measured(command, program):
    code, _, err = command("measure", program)
    assert code == 2
    assert "model.pt2: is no ONNX file, or a damaged one\n  export the network" in err


def test_a_file_that_is_no_model_is_refused(command, quantized, tmp_path):
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"no model")
    code, _, err = command("verify", quantized, path, "--data", "zoo:digits_test")
    assert code == 2
    assert str(path) in err


@pytest.mark.slow
def test_encodings_go_beside_it(document, quantized, tmp_path):
    document("export", quantized, "--out", tmp_path / "x.ONNX", "--encodings", tmp_path / "x.encodings")
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".ONNX", ".encodings", ".mj"]


@pytest.mark.slow
def test_stages_are_given_once_a_file(document, quantized, tmp_path):
    path = tmp_path / "digits.onnx"
    document("export", quantized, "--out", path)
    (record,) = document("measure", path, "--runs", 2, "--stage", "mine", "--threads", 1)["records"]
    assert (record["stage"], record["threads"]) == ("mine", 1)
