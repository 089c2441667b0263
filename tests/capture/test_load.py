import json
import zipfile

import pytest
import torch
from torch import nn
from torch.export import Dim
from torch.utils import _pytree as pytree

from microjoule.capture.export import capture
from microjoule.capture.load import load
from microjoule.errors import FileError
from tests.capture.models import MODELS, images

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported", "ignore:The tensor attributes")


def exported(module, args, path, **settings):
    dynamic = settings.pop("dynamic_shapes", None)
    torch.export.save(torch.export.export(module.eval(), args, dynamic_shapes=dynamic, strict=False), path, **settings)
    return path


@pytest.mark.parametrize("name", ["residual", "deep lstm", "tokens", "tied", "slice written to", "lstm", "attention"])
def test_a_program_that_was_saved_comes_back_as_a_network(tmp_path, name):
    module, args = MODELS[name]
    network = load(exported(module, args, tmp_path / "model.pt2"))
    found, expected = network(*args), module(*args)
    for a, b in zip(pytree.tree_leaves(found), pytree.tree_leaves(expected), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)
    assert set(network.state_dict()) == set(module.state_dict())
    assert network.history[0].source == "model.pt2"


def test_a_dynamic_batch_stays_dynamic(tmp_path):
    module, args = MODELS["residual"]
    network = load(exported(module, args, tmp_path / "model.pt2", dynamic_shapes=(({0: Dim.AUTO},),)))
    assert network.dynamic_batch
    x = images(5, 4, 6, 6)
    assert torch.equal(network(x), module(x))


def test_names_are_those_of_a_captured_network(tmp_path):
    module = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU6(inplace=True), nn.MaxPool2d(2))
    x = images(2, 4, 4, 4)
    network = load(exported(module, (x,), tmp_path / "model.pt2"))
    assert [n.name for n in network.graph.nodes] == [n.name for n in capture(module, x).graph.nodes]


def test_a_saved_network_comes_back_whatever_its_file_is_called(tmp_path):
    network = capture(*MODELS["residual"])
    network.save(tmp_path / "saved.mj")
    for name in ("model.pt2", "model.mj", "model"):
        (tmp_path / name).write_bytes((tmp_path / "saved.mj").read_bytes())
        assert torch.equal(load(tmp_path / name)(images(2, 4, 6, 6)), network(images(2, 4, 6, 6)))


def test_a_path_as_text_will_do(tmp_path):
    capture(*MODELS["residual"]).save(tmp_path / "model.mj")
    assert load(str(tmp_path / "model.mj")).history


def test_a_program_in_training_mode_is_told_apart(tmp_path):
    program = torch.export.export(
        nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).train(), (images(4, 4),), strict=False
    )
    torch.export.save(program, tmp_path / "model.pt2")
    with pytest.raises(Exception, match="differs from the model's"):
        load(tmp_path / "model.pt2")


# Refusals -------------------------------------------------------------------------------------------------------------


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(FileError, match=r"none\.pt2: cannot be read: no such file or directory\n  check the path"):
        load(tmp_path / "none.pt2")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(FileError, match="is a folder"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["model.pt2", "model.mj"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_file_is_refused(tmp_path, name, share):
    path = tmp_path / name
    if name.endswith("pt2"):
        exported(*MODELS["residual"], path)
    else:
        capture(*MODELS["residual"]).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(FileError, match=r"is damaged: .*\n  write it again"):
        load(path)


def test_an_onnx_file_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"\x08\x07")
    with pytest.raises(FileError, match=r"is an ONNX file, which cannot be loaded yet\n  capture the model"):
        load(tmp_path / "model.onnx")


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "model.txt").write_text("weights")
    with pytest.raises(FileError, match="is no network that microjoule reads"):
        load(tmp_path / "model.txt")


def test_a_checkpoint_is_refused(tmp_path):
    torch.save(nn.Linear(3, 2).state_dict(), tmp_path / "model.pt")
    with pytest.raises(FileError, match=r"is no network that microjoule reads\n  give a \.pt2 file"):
        load(tmp_path / "model.pt")


def test_a_program_without_example_inputs_is_refused(tmp_path):
    program = torch.export.export(nn.Linear(4, 3), (images(2, 4),))
    program.example_inputs = None
    torch.export.save(program, tmp_path / "model.pt2")
    with pytest.raises(FileError, match="holds no example inputs"):
        load(tmp_path / "model.pt2")


@pytest.mark.parametrize("shape", [[10**6, 10**6], [10**9]])
def test_a_program_that_would_take_gigabytes_is_refused(tmp_path, shape):
    class Bomb(nn.Module):
        def forward(self, x):
            return x.sum() + torch.zeros(2, 3).sum()

    path = exported(Bomb(), (images(2, 3),), tmp_path / "model.pt2")
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    sizes = json.dumps({"as_ints": shape}).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content.replace(b'{"as_ints": [2, 3]}', sizes))
    with pytest.raises(FileError, match=r"does not hang together: at zeros, a value would take"):
        load(path)


def test_classes_of_ones_own_are_for_files_of_ours(tmp_path):
    capture(*MODELS["residual"]).save(tmp_path / "model.mj")
    assert load(tmp_path / "model.mj", allow=[nn.Bilinear]).history


@pytest.mark.parametrize("place", ["/dev/zero", "/dev/null"])
def test_a_device_is_not_read(place):
    with pytest.raises(FileError, match="is a device or a pipe, not a file"):
        load(place)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "a\ud800"])
def test_a_name_that_no_file_can_have_is_refused(tmp_path, name):
    with pytest.raises(FileError, match="cannot be read"):
        load(tmp_path / name)
