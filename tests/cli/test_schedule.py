"""`microjoule schedule`: files and networks in the best order."""

from microjoule.capture.load import load
from microjoule.recipes import schedule_file
from tests.recipes.test_schedule_file import branches


def test_an_onnx_file_is_written_and_told(command, tmp_path):
    path, out, page = branches(tmp_path), tmp_path / "small.onnx", tmp_path / "memory.html"
    code, told, _ = command("schedule", path, "-o", out, "--report", page)
    assert code == 0
    assert "The peak falls from 8.70 kB to 5.12 kB" in told
    assert "the same, bit for bit," in told
    assert "100 % of the plan" in told
    assert out.exists()
    assert "Memory over time" in page.read_text()


def test_a_machine_gets_records(document, tmp_path):
    found = document("schedule", branches(tmp_path), "--out", tmp_path / "small.onnx")
    assert [record["record"] for record in found["records"]] == ["Scheduled", "RanInOrder"]
    assert found["records"][0]["after"]["peak_bytes"] == 5120


def test_a_network_is_saved_with_its_history(command, tmp_path):
    code, told, _ = command("schedule", "zoo:digits_mobilenet_v2", "-o", tmp_path / "digits.mj")
    assert code == 0
    assert "No order can do better" in told
    assert type(load(tmp_path / "digits.mj").history[-1]).__name__ == "Scheduled"


def test_a_model_is_not_converted(command, tmp_path):
    code, _, err = command("schedule", branches(tmp_path), "-o", tmp_path / "small.tflite")
    assert code == 2
    assert "end it in .onnx: a model is ordered, not converted" in err


def test_outputs_that_differ_are_a_failed_check(command, tmp_path, monkeypatch):
    def differ(*paths, **settings):
        same, *runs = compare(*paths, **settings)
        return not same, *runs

    compare = schedule_file.compare_onnx
    monkeypatch.setattr(schedule_file, "compare_onnx", differ)
    code, told, _ = command("schedule", branches(tmp_path), "-o", tmp_path / "small.onnx")
    assert code == 1
    assert "NOT the same" in told
