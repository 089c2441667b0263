"""The command line: exit codes that mean what they say, files that are what their names say, and a quick answer."""

import json
import os
import subprocess
import sys

import pytest

from tests.cases.interface import command_line

PROGRAM = [sys.executable, "-m", "microjoule"]
MODEL = "zoo:digits_mobilenet_v2"


def test_help_costs_no_loading_of_torch_scipy_or_sklearn():
    for words in (["--help"], ["quantize", "--help"], ["--version"]):
        code = f"import runpy, sys; sys.argv = ['microjoule', *{words}]\n"
        code += "try: runpy.run_module('microjoule', run_name='__main__')\n"
        code += "finally: assert not {'torch', 'scipy', 'sklearn'} & set(sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode == 0


def test_an_output_that_nobody_reads_is_no_failed_check():
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*PROGRAM, "--help"], stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(
    "words",
    [
        ["quantize", MODEL, "--out", "x.tflite"],
        ["quantize", MODEL, "--out", "x"],
        ["export", MODEL, "--out", "x.tflite"],
        ["export", MODEL, "--out", "x.mj"],
        ["schedule", MODEL, "--out", "x.onnx"],
        ["auto", MODEL, "--data", "zoo:digits_test", "--out", "x.pt2"],
        ["report", "x.json", "--out", "x.pdf"],
        ["quantize", MODEL, "--out", "nowhere/x.mj"],
    ],
    ids=" ".join,
)
def test_a_file_that_would_not_be_what_it_is_called_is_refused(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command_line(words) == 2
    assert "--out: is " in (said := capsys.readouterr().err) or "nowhere/x.mj: " in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_integers_are_what_an_onnx_file_of_quantize_holds(tmp_path, capsys):
    path = tmp_path / "x.onnx"
    assert command_line(["quantize", MODEL, "--out", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["out"] == str(path)
    assert b"QuantizeLinear" in path.read_bytes()


def test_a_machine_gets_one_document_though_all_goes_wrong(capsys):
    assert command_line(["evaluate", "nowhere.mj", "--data", "zoo:digits_test", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["exit_code"] == 2
