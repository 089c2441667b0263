"""Files for runtimes: written in the best order, run, and measured."""

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from microjoule import recipes
from microjoule.capture.export import capture
from microjoule.deploy import litert_run
from microjoule.deploy.onnx_file import export
from microjoule.errors import FileError, SettingError
from microjoule.recipes import schedule_file as module
from microjoule.recipes.schedule_file import schedule_file
from tests.deploy.onnx_models import node, onnx_file


def branches(folder):
    """Two branches of 1x1 convolutions that grow to 16 channels and shrink to 2, written side by side.

    A channel is 8 x 8 floats, 256 bytes: both grown at once and one output are 4096 + 4096 + 512; one after the other
    it is a grown one, and both outputs, 4096 + 512 + 512.
    """
    grow, shrink = np.ones((16, 2, 1, 1), np.float32), np.full((2, 16, 1, 1), 0.5, np.float32)
    nodes = [
        node("Conv", "x grow", "a"),
        node("Conv", "x grow", "b"),
        node("Conv", "a shrink", "c"),
        node("Conv", "b shrink", "d"),
        node("Concat", "c d", "y", axis=1),
    ]
    return onnx_file(folder, nodes, ["y"], shape=("n", 2, 8, 8), weights={"grow": grow, "shrink": shrink})


def test_an_onnx_file_is_ordered_and_obeyed(tmp_path):
    out = tmp_path / "small.onnx"
    found, ran = schedule_file(branches(tmp_path), out)
    assert (found.before.peak_bytes, found.after.peak_bytes, found.bound_bytes) == (8704, 5120, 5120)
    assert (ran.identical, ran.follows_file, ran.planned_bytes) == (True, True, 5120)
    assert (ran.before_bytes, ran.after_bytes) == (8704, 5120)
    assert [made.output[0] for made in onnx.load(out).graph.node] in (
        ["a", "c", "b", "d", "y"],
        ["b", "d", "a", "c", "y"],
    )


def test_a_file_may_be_written_over_itself(tmp_path):
    path = branches(tmp_path)
    _, ran = schedule_file(path, path)
    assert (ran.before_bytes, ran.after_bytes) == (8704, 5120)


def test_a_batch_counts(tmp_path):
    found, ran = schedule_file(branches(tmp_path), tmp_path / "small.onnx", batch=3)
    assert found.after.peak_bytes == ran.after_bytes == 3 * 5120


def test_the_search_is_watched(tmp_path):
    seen = []
    schedule_file(branches(tmp_path), tmp_path / "small.onnx", watch=lambda *told: seen.append(told))
    assert all(bound <= peak for peak, bound, _ in seen)


def test_another_kind_of_file_is_refused(tmp_path):
    with pytest.raises(FileError, match=r"model\.pt: is no file for a runtime[^\n]*\n  give an \.onnx or a \.tflite"):
        schedule_file(tmp_path / "model.pt", tmp_path / "out.pt")


def test_a_batch_of_none_is_refused_and_nothing_written(tmp_path):
    with pytest.raises(SettingError, match="batch: is 0"):
        schedule_file(branches(tmp_path), tmp_path / "small.onnx", batch=0)
    assert not (tmp_path / "small.onnx").exists()


def swiftnet(data_folder):
    return data_folder / "scheduling" / "swiftnet_vww_uint8.tflite"


@pytest.mark.skipif(not litert_run.is_installed(), reason="LiteRT is not installed: pip install 'microjoule[litert]'")
def test_a_litert_file_is_ordered_and_measured(data_folder, tmp_path):
    """SwiftNet's first convolution unfolds its input into 460,992 bytes, which bounds every order."""
    found, ran = schedule_file(swiftnet(data_folder), tmp_path / "small.tflite")
    assert found.optimal
    assert ("its workspace", 460_992) in [(one.value, one.size_bytes) for one in found.limit.values]
    assert (ran.identical, ran.before_bytes, ran.after_bytes) == (True, 812_224, 812_224)
    assert "460,992" in ran.caveat


def test_a_litert_file_is_ordered_where_litert_is_not_installed(data_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(litert_run, "litert", None)
    found, ran = schedule_file(swiftnet(data_folder), tmp_path / "small.tflite")
    assert ran is None
    assert found.after.peak_bytes == 812_224
    assert (tmp_path / "small.tflite").exists()


def refuses_to_run(folder):
    """A file of an IR version that ONNX Runtime does not take."""
    path = branches(folder)
    model = onnx.load(path)
    model.ir_version = 10**6
    onnx.save(model, path)
    return path


def test_a_file_that_the_runtime_does_not_take_leaves_an_older_one(tmp_path):
    out = tmp_path / "small.onnx"
    out.write_text("the user's older file")
    with pytest.raises(FileError, match="ONNX Runtime does not take it"):
        schedule_file(refuses_to_run(tmp_path), out)
    assert out.read_text() == "the user's older file"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["model.onnx", "small.onnx"]


def test_a_file_whose_outputs_differ_is_not_written(tmp_path, monkeypatch):
    out = tmp_path / "small.onnx"
    compare = module.compare_onnx

    def other(*paths, **settings):
        return False, *compare(*paths, **settings)[1:]

    monkeypatch.setattr(module, "compare_onnx", other)
    _, ran = schedule_file(branches(tmp_path), out)
    assert not ran.identical
    assert not out.exists()


def test_a_missing_folder_is_found_before_the_search(tmp_path):
    with pytest.raises(FileError, match="make the folder first"):
        schedule_file(branches(tmp_path), tmp_path / "none" / "small.onnx", watch=lambda *told: pytest.fail("searched"))


@pytest.mark.slow
def test_a_quantized_file_takes_a_quarter_of_the_one_in_floating_point(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU())
    network = capture(nn.Sequential(*model, nn.Conv2d(16, 3, 1)).eval(), torch.rand(2, 3, 16, 16))
    export(network, tmp_path / "fp32.onnx")
    export(recipes.naive(network, torch.rand(4, 3, 16, 16)), tmp_path / "int8.onnx")
    real, _ = schedule_file(tmp_path / "fp32.onnx", tmp_path / "a.onnx")
    found, ran = schedule_file(tmp_path / "int8.onnx", tmp_path / "b.onnx")
    assert real.after.peak_bytes == 2 * 16 * 256 * 4
    assert found.after.peak_bytes == real.after.peak_bytes / 4
    assert (ran.identical, ran.before_bytes, ran.after_bytes) == (True, None, None)
    assert "fuses quantizers into operators" in ran.caveat
    assert (tmp_path / "b.onnx").exists()
