"""`microjoule quickstart`: everything once, on the network that comes with the package."""

import json

import pytest

import microjoule as mj


@pytest.mark.slow
def test_integers_win_and_every_file_is_named(command, tmp_path):
    code, out, err = command("quickstart", "--out", tmp_path / "some" / "where", "--json")
    document = json.loads(out)
    assert (code, document["passed"]) == (0, True), err
    folder = tmp_path / "some" / "where"
    assert {path.name for path in folder.iterdir()} == {"report.html", "int8.onnx", "int8.mj"}
    assert document["report"] == str(folder / "report.html")
    floating, integer = [record for record in document["records"] if record["record"] == "Evaluated"]
    assert (floating["samples"], integer["samples"]) == (540, 540)
    assert floating["value"] - integer["value"] <= 100 * 2 / 540, "two of the test digits"
    assert document["flash_bytes"] < 0.3 * 884_142
    assert document["ram_bytes"] == 3 * 64 * 8 * 8, "three values of the block at 8x8, a byte each"
    placed = next(record for record in document["records"] if record["record"] == "Placed")
    assert placed["target"] == "onnxruntime", "the default"
    history = mj.load(folder / "int8.mj").history
    assert [one.stage for one in history if type(one).__name__ == "Measured"] == ["fp32", "data-free W8A8"]
    words = ("Flash (file)", "RAM (activations)", "99.44", "540", "data-free W8A8")
    assert [word for word in words if word not in (folder / "report.html").read_text()] == []


def test_a_folder_that_cannot_be_made_is_named_at_once(command, tmp_path):
    (tmp_path / "file").write_text("")
    code, out, err = command("quickstart", "--out", tmp_path / "file" / "folder")
    assert (code, out) == (2, "")
    assert "cannot be made: Not a directory\n  choose another folder with --out" in err
