"""A quantized network delivered: each file is there and is what it says, and the history tells of all."""

from inspect import getmodule as module_of

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.errors import ExportError, FileError, GraphError
from microjoule.records.measured import Costs, ErrorsByLayer, Exported, Measured, Verified


def network():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).eval()
    return mj.capture(module, torch.rand(2, 1, 8, 8))


@pytest.fixture(scope="module")
def original():
    return network()


@pytest.fixture(scope="module")
def quantized(original):
    return mj.recipes.data_free(original, input_range=(0, 1), data=torch.rand(16, 1, 8, 8))


@pytest.fixture(scope="module")
def images():
    return torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def of(records, kind):
    return [record for record in records if isinstance(record, kind)]


@pytest.mark.slow
def test_every_file_is_there_and_is_what_it_says(quantized, original, images, tmp_path):
    before = len(quantized.history), len(original.history)
    made = mj.recipes.deliver(quantized, tmp_path / "v1.2", images, original=original, stage="int8", samples=4, runs=3)
    assert made.files == {
        tmp_path / "v1.2.mj": "the quantized network, which verify, report and mj.load read",
        tmp_path / "v1.2.onnx": "the integer model, which ONNX Runtime runs as it is",
        tmp_path / "v1.2.html": "the report",
    }
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in made.files}
    assert made.flash_bytes == made.onnx.stat().st_size
    assert torch.equal(mj.load(made.path)(images), quantized(images))
    assert "<html" in made.report.read_text()[:500].lower()
    assert (len(quantized.history), len(original.history)) == before, "both are left alone"


@pytest.mark.slow
def test_the_history_tells_of_all_that_was_found(quantized, original, images, tmp_path):
    made = mj.recipes.deliver(quantized, tmp_path / "x", images, original=original, samples=4, runs=3)
    assert mj.load(made.path).history == made.network.history
    history = made.network.history
    assert [record.stage for record in of(history, Costs)] == ["fp32", "int8"]
    assert [(record.stage, record.path) for record in of(history, Exported)] == [("int8", str(made.onnx))]
    assert tuple(of(history, Verified)) == made.verified
    assert {record.samples for record in (*made.verified, *of(history, ErrorsByLayer))} == {4}
    assert tuple(of(history, Measured)) == made.measured
    assert [(record.stage, record.path) for record in made.measured] == [
        ("fp32", "fp32.onnx"),
        ("int8", str(made.onnx)),
    ]
    assert {(record.threads, record.runs) for record in made.measured} == {(1, 3)}
    assert made.reached is None


def test_ram_is_the_peak_of_activations_by_hand(quantized, images, tmp_path):
    """8x8 of 8 bits go in, 4 x 6x6 come out of the convolution: both are there while it runs."""
    made = mj.recipes.deliver(quantized, tmp_path / "x", images, samples=2, runs=2)
    assert made.ram_bytes == 8 * 8 + 4 * 6 * 6
    assert len(made.measured) == 1


def test_files_may_go_elsewhere(quantized, images, tmp_path):
    (tmp_path / "there").mkdir()
    onnx, page = tmp_path / "there" / "y.onnx", tmp_path / "there" / "z.html"
    made = mj.recipes.deliver(quantized, tmp_path / "x", images, onnx=onnx, report=page, samples=2, runs=2)
    assert list(made.files) == [tmp_path / "x.mj", onnx, page]
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["x.mj", "y.onnx", "z.html"]


def test_a_departure_is_seen(quantized, images, tmp_path, monkeypatch):
    departed = Verified("onnxruntime", "x.onnx", 2, (), "conv2d", None)
    monkeypatch.setattr(module_of(mj.recipes.deliver), "verify", lambda *_, **__: [departed])
    made = mj.recipes.deliver(quantized, tmp_path / "x", images, samples=2, runs=2)
    assert (made.agrees, made.verified) == (False, (departed,))


def test_the_network_is_saved_though_it_cannot_be_exported(quantized, images, tmp_path, monkeypatch):
    def fails(*_, **__):
        raise ExportError("network", "has no words", remedy="none")

    monkeypatch.setattr(module_of(mj.recipes.deliver), "export", fails)
    with pytest.raises(ExportError) as caught:
        mj.recipes.deliver(quantized, tmp_path / "x", images)
    assert caught.value.__notes__ == [f"{tmp_path / 'x.mj'} is the quantized network, saved before that"]
    assert [path.name for path in tmp_path.iterdir()] == ["x.mj"]


@pytest.mark.parametrize("name", ["x", "onnx", "report"])
def test_a_missing_folder_is_seen_before_any_work(quantized, images, tmp_path, name):
    places = {"x": tmp_path / "x", "onnx": None, "report": None, name: tmp_path / "nowhere" / "x"}
    with pytest.raises(FileError, match="make the folder first"):
        mj.recipes.deliver(quantized, places["x"], images, onnx=places["onnx"], report=places["report"])
    assert list(tmp_path.iterdir()) == []


def test_a_network_in_floating_point_is_refused(original, images, tmp_path):
    with pytest.raises(GraphError, match="has no quantizers"):
        mj.recipes.deliver(original, tmp_path / "x", images)
