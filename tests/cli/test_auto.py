"""`microjoule auto`: to the end in one command, and an exit code that says whether it is good."""

import json
from functools import partial
from inspect import getmodule as module_of

import pytest

import microjoule as mj
from microjoule.cli.auto import FIRST
from microjoule.errors import ExportError
from microjoule.recipes.attempts import ATTEMPTS
from microjoule.records.measured import Verified
from tests.cli.conftest import MODEL

DATA = ["--data", "zoo:digits_test", "--samples", 24, "--calibration", "zoo:digits_train", "--calibration-samples", 16]
FILES = ["x.html", "x.mj", "x.onnx"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.slow
def test_it_saves_exports_verifies_measures_and_reports(command, here):
    code, out, err = command("auto", MODEL, *DATA, "--out", "x", "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert {name: document[name] for name in ("out", "onnx", "report")} == {
        "out": "x.mj",
        "onnx": "x.onnx",
        "report": "x.html",
    }
    assert names(here) == FILES, "its own work folder is gone"
    assert (document["met"], document["verified"]) == (True, True)
    kinds = [record["record"] for record in document["records"]]
    assert kinds == ["Reached", "Verified", "Verified", "Measured", "Measured"]
    assert document["records"][0]["chosen"] == "naive"
    record = document["records"][0]
    assert record["samples"] + record["confirmed"]["samples"] == 24
    assert record["confirmed"]["reference"] == "fp32"
    assert document["flash_bytes"] == (here / "x.onnx").stat().st_size
    assert document["ram_bytes"] == mj.costs(mj.load("x.mj")).peak_bytes
    assert {layer.quantizer.scheme.grid.bits for layer in mj.load("x.mj").layers} == {8}


@pytest.mark.slow
def test_people_see_every_file_with_its_size(command, here):
    (here / "there").mkdir()
    places = ["--out", "x.mj", "--onnx", "there/y.onnx", "--report", "there/z.html", "--work-folder", "work"]
    code, out, _ = command("auto", MODEL, *DATA, *places)
    assert code == 0
    told = out[out.index("Files") :]
    for path in ("x.mj", "there/y.onnx", "there/z.html"):
        assert path in told
    assert told.count(" kB") + told.count(" MB") == 3
    for part in (
        "naive is the first within the drop",
        "Flash (file)",
        "RAM (activations)",
        "Latency",
        "Simulated against",
    ):
        assert part in out
    assert names(here) == ["there", "work", "x.mj"], "the folder that was asked for stays"


@pytest.mark.slow
def test_other_data_may_confirm(command, here):
    code, out, _ = command("auto", MODEL, *DATA, "--confirm", "zoo:digits_train", "--out", "x")
    assert code == 0
    assert "on 24 samples. On others, that nothing was chosen by, naive W8A8 drops by" in " ".join(out.split())


@pytest.mark.slow
def test_where_nothing_is_good_enough_the_exit_code_says_so_and_the_files_are_there(command, here, monkeypatch):
    monkeypatch.setattr(mj.recipes, "auto", partial(mj.recipes.auto, attempts=ATTEMPTS[:1]))
    code, out, _ = command("auto", MODEL, *DATA, "--drop", "-101", "--out", "x")
    assert (code, names(here)) == (1, FILES)
    assert "none of 1 attempt is within the drop" in out


@pytest.mark.slow
def test_a_file_that_departs_is_a_failed_check(command, here, monkeypatch):
    departed = [Verified("onnxruntime", "x.onnx", 2, (), "conv2d", None)]
    monkeypatch.setattr(module_of(mj.recipes.deliver), "verify", lambda *_, **__: departed)
    code, out, _ = command("auto", MODEL, *DATA, "--out", "x", "--json")
    document = json.loads(out)
    assert (code, document["met"], document["verified"], names(here)) == (1, True, False, FILES)


@pytest.mark.slow
def test_interrupted_the_same_command_goes_on_in_its_own_folder(command, here, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module_of(mj.recipes.auto), "deliver", stop)
        code, _, err = command("auto", MODEL, *DATA, "--out", "x")
    assert (code, names(here)) == (130, ["x.work"])
    assert "the same command goes on from its work folder" in err
    made = {path.name: path.stat().st_mtime_ns for path in (here / "x.work").glob("naive*.mj")}
    assert len(made) == 1
    with monkeypatch.context() as patch:
        patch.setattr(module_of(mj.recipes.auto), "deliver", stop)
        _, _, err = command("auto", MODEL, *DATA, "--out", "x.mj")
    assert "going on with what is in x.work" in err
    assert {path.name: path.stat().st_mtime_ns for path in (here / "x.work").glob("naive*.mj")} == made


def test_where_the_export_fails_what_was_found_is_there_and_told(command, here, monkeypatch):
    def fails(*_, **__):
        raise ExportError("network", "has no words", remedy="none")

    monkeypatch.setattr(module_of(mj.recipes.deliver), "export", fails)
    code, _, err = command("auto", MODEL, *DATA, "--out", "x")
    assert (code, names(here)) == (2, ["x.mj", "x.work"])
    assert err == "network: has no words\n  none\nx.mj is the quantized network, saved before that\n"


def test_settings_that_no_attempt_can_have_leave_nothing_behind(command, here):
    code, _, err = command("auto", MODEL, *DATA, "--weights", 99, "--out", "x")
    assert (code, "99" in err, names(here)) == (2, True, [])
    assert ATTEMPTS[0].name == FIRST


def test_data_without_labels_is_refused(command, here):
    code, _, err = command("auto", MODEL, "--data", "zoo:nothing", "--zoo-data", ".", "--out", "x")
    assert (code, "there is no such data set" in err) == (2, True)
    assert names(here) == []
