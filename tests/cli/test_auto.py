"""`microjoule auto`: the files that were asked for, and an exit code that says whether the metric was kept."""

import json

import microjoule as mj
from microjoule.recipes.attempts import ATTEMPTS
from tests.cli.conftest import MODEL

DATA = ["--data", "zoo:digits_test", "--samples", 24, "--calibration", "zoo:digits_train", "--calibration-samples", 16]


def test_it_saves_exports_and_reports_what_it_found(command, tmp_path):
    files = {name: tmp_path / name for name in ("x.mj", "x.onnx", "x.html")}
    words = ["--out", files["x.mj"], "--onnx", files["x.onnx"], "--report", files["x.html"]]
    code, out, err = command("auto", MODEL, *DATA, *words, "--work-folder", tmp_path / "work", "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["met"] is True
    assert document["records"][0]["chosen"] == "naive"
    record = document["records"][0]
    assert record["samples"] + record["confirmed"]["samples"] == 24
    assert record["confirmed"]["reference"] == "fp32"
    assert all(path.stat().st_size > 10_000 for path in files.values())
    assert {layer.quantizer.scheme.grid.bits for layer in mj.load(files["x.mj"]).layers} == {8}


def test_where_nothing_is_good_enough_the_exit_code_says_so(command, tmp_path):
    words = ["--drop", "-101", "--weights", "8", "--out", tmp_path / "x.mj"]
    code, out, _ = command("auto", MODEL, *DATA, *words)
    assert code == 1
    assert f"none of {len(ATTEMPTS)} attempts is within the drop" in out
    assert (tmp_path / "x.mj").exists()


def test_other_data_may_confirm(command, tmp_path):
    code, out, _ = command("auto", MODEL, *DATA, "--confirm", "zoo:digits_train", "--out", tmp_path / "x.mj")
    assert code == 0
    assert "on 24 samples. On others, that nothing was chosen by, naive W8A8 drops by" in " ".join(out.split())


def test_data_without_labels_is_refused(command, tmp_path):
    words = ["--zoo-data", tmp_path, "--out", tmp_path / "x.mj"]
    code, _, err = command("auto", MODEL, "--data", "zoo:nothing", *words)
    assert (code, "there is no such data set" in err) == (2, True)
