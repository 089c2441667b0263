"""Every command with what it cannot do: one message with its place and a remedy, exit code 2, and no file written."""

import json
import shutil

import numpy as np
import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.cli.app import COMMANDS

MODEL = "net.mj"
DATA = ("--data", "given.npz", "--samples", 2)
SCORED = (MODEL, *DATA)
QUANTIZE = ("quantize", MODEL, "--out", "x.mj")
AUTO = ("auto", *SCORED, "--out", "x")
COMPRESS = ("compress", *SCORED, "--macs", 0.5, "--out", "x.mj")
TRADEOFF = ("tradeoff", *SCORED)
EVALUATE = ("evaluate", *SCORED)
EXPORT = ("export", MODEL, "--out", "x.onnx")
SCHEDULE = ("schedule", MODEL, "--out", "x.mj")
MEASURE = ("measure", "given.onnx")
REPORT = ("report", "given.json")

BAD = [
    (("nonsense",), "microjoule: no such command 'nonsense'"),
    (("quantise",), "no such command 'quantise'. Did you mean 'quantize'?"),
    (("--out", "x"), "no such option: --out"),
    *(((name, "--nonsense"), "no such option: --nonsense") for name in COMMANDS),
    *(((name,), "missing argument") for name in COMMANDS if name != "quickstart"),
    (("inspect", MODEL, "more"), "unexpected extra argument"),
    (("inspect", "nowhere.pt2"), "nowhere.pt2: there is no such file"),
    (("inspect", ""), "inspect: is followed by an empty word\n  see whether a variable of the shell is set"),
    (("inspect", "."), ".: is a folder"),
    (("inspect", "zoo:"), "there is no '' in the zoo"),
    (("inspect", "zoo:alexnet"), "there is no 'alexnet' in the zoo"),
    (("inspect", "given.onnx"), "is an ONNX file, which cannot be a source yet"),
    (("inspect", "given.py:nothing"), "there is no such function"),
    (("inspect", "given.py:text"), "returns a str"),
    (("inspect", MODEL, "--shape", "1,8,8"), "--shape: is for a function of yours"),
    (("inspect", "given.py:module"), "returns a module without example inputs"),
    (("inspect", "given.py:module", "--shape", "a"), "--shape: is 'a'"),
    (("quantize", MODEL), "microjoule quantize: missing option '--out'"),
    ((*QUANTIZE, "--out"), "option '--out' requires an argument"),
    (("quantize", MODEL, "--out", "x"), "--out: is x, which has no suffix"),
    (("quantize", MODEL, "--out", "x.tflite"), "--out: is x.tflite, which ends in .tflite"),
    (("quantize", MODEL, "--out", "nowhere/x.mj"), "make the folder first"),
    (("quantize", "given.mj", "--out", "given.mj"), "--out: is given.mj, which this command reads"),
    ((*QUANTIZE, "--recipe", "magic"), "--recipe: is 'magic'\n  use one of data-free"),
    *(((*QUANTIZE, "--recipe", name), "needs data") for name in ("naive", "gptq", "adaround", "qdrop")),
    ((*QUANTIZE, "--target", "abacus"), "abacus"),
    ((*QUANTIZE, "--target", "nowhere.toml"), "nowhere.toml"),
    ((*QUANTIZE, "--weights", 17), "17"),
    ((*QUANTIZE, "--weights", "eight"), "invalid value for '--weights'"),
    ((*QUANTIZE, "--layer", "nowhere=4"), "nowhere"),
    ((*QUANTIZE, "--layer", "0"), "--layer: is '0'"),
    ((*QUANTIZE, "--layer", "0=4", "--layer", "0=8"), "--layer: names 0 twice"),
    ((*QUANTIZE, "--budget", "W4A8"), "--budget: is for the recipe mixed"),
    ((*QUANTIZE, "--cost", "bytes"), "--cost: is for the recipe mixed"),
    ((*QUANTIZE, "--recipe", "mixed", *DATA), "needs a budget"),
    ((*QUANTIZE, "--recipe", "mixed", *DATA, "--budget", "W4A8", "--cost", "gold"), "--cost: is 'gold'"),
    ((*QUANTIZE, "--recipe", "mixed", *DATA, "--budget", "W4A8", "--weights", 4), "chooses the bits itself"),
    ((*QUANTIZE, "--recipe", "mixed", *DATA, "--budget", "W4A8", "--candidates", "4"), "--candidates: is '4'"),
    ((*QUANTIZE, "--rule", "mse"), "--rule: chooses ranges from data, and there is none"),
    ((*QUANTIZE, "--rule", "guess", *DATA), "--rule: is 'guess'"),
    ((*QUANTIZE, "--input-range", "1,0"), "--input-range: is '1,0'"),
    ((*QUANTIZE, "--samples", 8), "--samples: is for --data, and there is none"),
    ((*QUANTIZE, "--size", 8), "--size: nothing tells how pixels become inputs"),
    ((*QUANTIZE, "--normalise", "photo"), "--normalise: is 'photo'"),
    ((*QUANTIZE, "--normalise", "unit", "--prepare", "size=8"), "--prepare: is 'size=8'"),
    ((*QUANTIZE, "--device", "abacus"), "device: is 'abacus', which cannot be used here"),
    ((*QUANTIZE, "--classes", "nowhere.txt"), "nowhere.txt: cannot be read"),
    ((*QUANTIZE, "--work-folder", "work"), "--work-folder: has no use for the recipe data-free"),
    ((*QUANTIZE, "--seed", -1), "invalid value for '--seed'"),
    ((*QUANTIZE, "--data", "nowhere"), "nowhere: there is no such data"),
    ((*QUANTIZE, "--data", ""), "--data: is followed by an empty word"),
    ((*QUANTIZE, "--data", "given.json"), "given.json: is no data that microjoule reads"),
    ((*QUANTIZE, "--data", "given.npz", "--samples", 0), "--samples"),
    ((*AUTO, "--drop", "nan"), "drop: is not a number"),
    ((*AUTO, "--cost", "gold"), "--cost: is 'gold'"),
    ((*AUTO, "--metric", "beauty"), "--metric: is 'beauty'"),
    ((*AUTO, "--calibration-samples", 0), "invalid value for '--calibration-samples'"),
    (("auto", MODEL, "--out", "x"), "missing option '--data'"),
    (("quantize", MODEL, "--out", MODEL), f"--out: is {MODEL}, which this command reads"),
    (("auto", *SCORED, "--out", "x.tflite"), "--out: is x.tflite, which ends in .tflite"),
    (("auto", *SCORED, "--out", "nowhere/x"), "make the folder first"),
    ((*AUTO, "--onnx", "x.html"), "--onnx: is x.html, which ends in .html"),
    ((*AUTO, "--onnx", "y.onnx", "--report", "y.onnx"), "--report: is y.onnx"),
    ((*AUTO, "--data", "given.npz", "--onnx", "given.onnx", "--calibration", "given.onnx"), "--onnx: is given.onnx"),
    (("auto", *SCORED, "--out", "mine"), "mine.work: is there, and is not the work of microjoule"),
    ((*COMPRESS, "--bytes", 0.5), "is given 2 times"),
    (("compress", *SCORED, "--out", "x.mj"), "give one of --macs, --bytes, --energy, --latency"),
    (("compress", *SCORED, "--macs", "nan", "--out", "x.mj"), "macs: is nan"),
    ((*COMPRESS, "--scheme", "svd"), "--scheme: is 'svd'"),
    ((*COMPRESS, "--criterion", "size"), "--criterion: is 'size'"),
    ((*COMPRESS, "--multiple", 0), "multiple: is 0"),
    ((*COMPRESS, "--latency-bits", 7), "latency_bits: is 7"),
    ((*COMPRESS, "--report", "x.pdf"), "--report: is x.pdf, which ends in .pdf"),
    ((*TRADEOFF, "--cost", "gold"), "--cost: is 'gold'"),
    ((*TRADEOFF, "--share", 0), "shares: is (0.0,)"),
    ((*TRADEOFF, "--share", "half"), "invalid value for '--share'"),
    ((*TRADEOFF, "--report", "x"), "--report: is x, which has no suffix"),
    ((*EVALUATE, "--metric", "beauty"), "--metric: is 'beauty'"),
    ((*EVALUATE, "--keep", "nowhere.mj"), "nowhere.mj"),
    ((*EVALUATE, "--keep", "given.pt2"), "given.pt2: is no file that microjoule saved"),
    (("evaluate", MODEL, "--data", "zoo:nothing", "--zoo-data", "."), "there is no such data set"),
    (("export", MODEL, "--out", "x.tflite"), "--out: is x.tflite, which ends in .tflite (LiteRT files cannot be"),
    (("export", MODEL, "--out", "x.mj"), "--out: is x.mj, which ends in .mj"),
    ((*EXPORT, "--encodings", "x.onnx"), "--encodings: is x.onnx, which ends in .onnx"),
    (("verify", MODEL, "given.onnx", *DATA), "network: has no quantizers"),
    (("verify", MODEL, "given.onnx", *DATA, "--runtime", "abacus"), "--runtime: is 'abacus'"),
    ((*MEASURE,), "given.onnx: is no ONNX file, or a damaged one"),
    ((*MEASURE, "--runs", 0), "runs: is 0"),
    ((*MEASURE, "--threads", 0), "threads: is 0"),
    ((*MEASURE, "--batch", -1), "batch: is -1"),
    ((*MEASURE, "--stage", "a", "--stage", "b"), "--stage: is given 2 times, for 1 files"),
    (("schedule", MODEL, "--out", "x.onnx"), f"--out: is x.onnx, but the model is {MODEL}\n  end it in .mj"),
    (("schedule", "given.onnx", "--out", "x.tflite"), "end it in .onnx"),
    (("schedule", "given.onnx", "--out", "given.onnx"), "which this command reads"),
    (("schedule", "given.onnx", "--out", "x.onnx"), "given.onnx: is no ONNX file, or a damaged one"),
    ((*SCHEDULE, "--seconds", -1), "invalid value for '--seconds'"),
    ((*SCHEDULE, "--batch", 0), "invalid value for '--batch'"),
    ((*SCHEDULE, "--report", "x.mj"), "--report: is x.mj, which ends in .mj"),
    ((*REPORT, "--out", "x.pdf"), "--out: is x.pdf, which ends in .pdf"),
    ((*REPORT, "--out", "x.html"), "given.json: "),
    (("report", "failed.json", "--out", "x.html"), "failed.json: holds what went wrong, and no records"),
    (("report", "nowhere.mj", "--out", "x.html"), "nowhere.mj"),
    (("quickstart", "--out", "given.json"), "given.json: cannot be made: File exists"),
    (("quickstart", "more"), "unexpected extra argument"),
]

USERS = """
import torch

def text():
    return "a model"

def module():
    return torch.nn.Linear(4, 3)
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A small network that microjoule saved."""
    path = tmp_path_factory.mktemp("saved") / MODEL
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3)).eval()
    mj.capture(module, torch.rand(2, 1, 8, 8), card=mj.ModelCard((0, 1))).save(path)
    return path


@pytest.fixture
def folder(saved, tmp_path, monkeypatch):
    """The current folder, with files of which most are no good."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(saved, tmp_path)
    for name in ("given.onnx", "given.json", "given.mj", "given.pt2"):
        (tmp_path / name).write_text("{no json")
    (tmp_path / "failed.json").write_text(json.dumps({"error": {}, "exit_code": 2}))
    (tmp_path / "given.py").write_text(USERS)
    (tmp_path / "mine.work").mkdir()
    np.savez(tmp_path / "given.npz", x=np.zeros((2, 1, 8, 8), np.float32), y=np.zeros(2, np.int64))
    return tmp_path


def in_short(value):
    """A command line as the name of a test."""
    return "" if isinstance(value, str) else " ".join(map(str, value))[:70]


def held(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize(("words", "message"), BAD, ids=in_short)
def test_it_is_said_and_nothing_is_done(command, folder, words, message):
    before = held(folder)
    code, out, err = command(*words)
    assert message in err
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    assert "an error of ours" not in err
    assert err.count("\n  ") == 1, "one message, with what to do"
    assert held(folder) == before


@pytest.mark.parametrize("words", [("nonsense",), ("inspect", "nowhere.pt2"), (*QUANTIZE, "--rule", "mse")])
def test_machines_get_what_went_wrong_as_one_document(command, folder, words):
    code, out, err = command(*words, "--json")
    document = json.loads(out)
    assert (code, document["exit_code"]) == (2, 2)
    error = document["error"]
    assert err == f"{error['place']}: {error['fact']}\n  {error['remedy']}\n"
