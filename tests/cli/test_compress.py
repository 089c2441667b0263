"""`microjoule compress`: a network of less work, saved, exported and reported; what cannot be is said."""

import json
import re

import pytest

import microjoule as mj

PROGRAM = """
import torch
from torch import nn

def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 4)).eval(), torch.rand(2, 6)

def data():
    x = torch.randn(40, 6, generator=torch.Generator().manual_seed(1))
    return x, net()[0](x).argmax(1)
"""


@pytest.fixture
def words(tmp_path):
    """The model, its data, and where the network goes."""
    file = tmp_path / "net.py"
    file.write_text(PROGRAM)
    return [f"{file}:net", "--data", f"{file}:data", "--out", tmp_path / "x.mj"]


def test_it_saves_exports_and_reports_a_cheaper_network(command, words, tmp_path):
    files = {"out": tmp_path / "x.mj", "onnx": tmp_path / "x.onnx", "report": tmp_path / "x.html"}
    asked = ["--macs", 0.5, "--multiple", 4, "--scheme", "channel-pruning", "--samples", 30, "--calibration", words[2]]
    code, out, err = command("compress", *words, *asked, "--onnx", files["onnx"], "--report", files["report"], "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    (record,) = document["records"]
    assert {name: document[name] for name in files} == {name: str(path) for name, path in files.items()}
    assert (record["cost"], record["cost_before"], record["cost_after"]) == ("macs", 160, 80)
    assert (len(record["tried"]), record["samples"], record["metric"]) == (1, 15, "top1")
    assert mj.costs(mj.load(files["out"])).macs == 80
    assert all(path.stat().st_size > 500 for path in files.values())
    assert 'id="compression"' in files["report"].read_text()
    code, out, _ = command("evaluate", files["out"], "--data", words[2])
    assert (code, "compressed" in out) == (0, True)


def test_people_see_a_table_and_what_it_came_to(command, words, tmp_path):
    asked = ["--bytes", 0.8, "--scheme", "low-rank", "--work-folder", tmp_path / "work"]
    code, out, err = command("compress", *words, *asked)
    assert (code, err) == (0, "")
    assert "of the bytes left; top1 from 100.00 % to" in out
    assert re.search(r"\b16 +4 +output 2 +256 B +160 B +62\.50 %", out)
    assert (tmp_path / "work" / "run.json").exists()


def test_channels_are_chosen_by_a_criterion(command, words, monkeypatch):
    asked, real = [], mj.compress
    monkeypatch.setattr(mj, "compress", lambda *some, **how: asked.append(how) or real(*some, **how))
    for criterion in ([], ["--criterion", "geometric-median"]):
        assert command("compress", *words, "--macs", 0.5, "--scheme", "channel-pruning", *criterion)[0] == 0
    assert [how["criterion"] for how in asked] == ["elimination", "geometric_median"]


@pytest.mark.parametrize(("bits", "integers"), [([], {False}), (["--latency-bits", 8], {True})], ids=["32", "8"])
def test_a_share_of_the_latency(command, words, clock, bits, integers):
    code, out, err = command("compress", *words, "--latency", 0.7, *bits, "--scheme", "channel-pruning", "--json")
    assert (code, err) == (0, "")
    (record,) = json.loads(out)["records"]
    assert (record["cost"], record["cost_unit"], record["cost_before"]) == ("latency", "ms", 160)
    assert 80 < record["cost_after"] <= 112
    assert set(clock) == integers


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ([], "give one of --macs, --bytes, --energy, --latency"),
        (["--macs", 0.5, "--onnx", "nowhere/x.onnx"], "make the folder first"),
        (["--macs", 0.5, "--energy", 0.5], "budget: is given 2 times"),
        (["--macs", 1.5], "macs: is 1.5"),
        (["--latency", 0.0], "latency: is 0.0"),
        (["--macs", 0.5, "--scheme", "svd"], "--scheme: is 'svd'"),
        (["--macs", 0.5, "--criterion", "size"], "--criterion: is 'size'"),
        (["--macs", 0.5, "--criterion", "geometric_median"], "use one of elimination, lasso"),
    ],
    ids=["no budget", "no folder", "two budgets", "too much", "no time", "scheme", "criterion", "its name in Python"],
)
def test_what_cannot_be_is_said_and_nothing_is_written(command, words, tmp_path, asked, message):
    code, _, err = command("compress", *words, *asked)
    assert (code, message in err) == (2, True)
    assert not (tmp_path / "x.mj").exists()
