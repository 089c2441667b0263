"""From a trained network to its files in one call: what `reach` finds, delivered."""

import inspect

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.errors import FileError


@pytest.fixture(scope="module")
def task():
    """A network, and data that it is right about."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    x = torch.randn(24, 6)
    return mj.capture(module, x[:2]), (x, module(x).argmax(1))


@pytest.mark.slow
def test_what_was_found_is_delivered(task, tmp_path):
    network, data = task
    made = mj.recipes.auto(network, data, mj.zoo.metric("top1"), tmp_path / "x", calibration=data[0], drop=20.0)
    assert made.reached.met
    assert made.reached.chosen == "naive"
    assert made.agrees
    assert [record.stage for record in made.measured] == ["fp32", "naive W8A8"]
    assert all(path.stat().st_size for path in made.files)
    assert "naive W8A8 of x" in made.report.read_text()
    assert not network.quantizers


@pytest.mark.slow
def test_it_goes_on_in_its_folder_with_the_same_files(task, tmp_path, monkeypatch):
    network, data = task
    settings = {"calibration": data[0], "drop": 20.0, "folder": tmp_path / "work"}
    first = mj.recipes.auto(network, data, mj.zoo.metric("top1"), tmp_path / "x", **settings)
    monkeypatch.setattr(inspect.getmodule(mj.recipes.naive), "naive", None)
    again = mj.recipes.auto(network, data, mj.zoo.metric("top1"), tmp_path / "y", **settings)
    assert again.onnx.read_bytes() == first.onnx.read_bytes()
    assert again.reached == first.reached


@pytest.mark.slow
def test_if_nothing_is_good_enough_that_is_told_and_the_best_is_delivered(task, tmp_path):
    network, data = task
    attempts = [one for one in mj.recipes.attempts.ATTEMPTS if one.name in ("naive", "MSE ranges")]
    made = mj.recipes.auto(network, data, mj.zoo.metric("top1"), tmp_path / "x", drop=-101.0, attempts=attempts)
    assert not made.reached.met
    assert len(made.reached.attempts) == 2
    assert made.onnx.exists()


def test_a_missing_folder_is_seen_before_anything_is_tried(task, tmp_path):
    network, data = task
    with pytest.raises(FileError, match="make the folder first"):
        mj.recipes.auto(network, data, None, tmp_path / "nowhere" / "x")


def test_it_takes_what_reach_takes_with_the_same_defaults():
    reach, auto = (inspect.signature(one).parameters for one in (mj.reach, mj.recipes.auto))
    own = {"out", "onnx", "report", "title"}
    assert {name: (one.default, one.annotation) for name, one in auto.items() if name not in own} == {
        name: (one.default, one.annotation) for name, one in reach.items()
    }
