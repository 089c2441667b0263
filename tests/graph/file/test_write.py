import json
import zipfile

import pytest
import torch
from torch import nn

from microjoule.capture.export import capture
from microjoule.errors import FileError
from microjoule.graph.file.write import FORMAT, write
from tests.capture.models import MODELS, Function, images


def document(path):
    with zipfile.ZipFile(path) as archive:
        assert sorted(archive.namelist()) == ["network.json", "tensors.safetensors"]
        return json.loads(archive.read("network.json"))


def test_the_file_says_its_format_and_names_operators(tmp_path):
    capture(*MODELS["residual"]).save(tmp_path / "x.mj")
    found = document(tmp_path / "x.mj")
    assert found["format"] == FORMAT
    assert {"conv1", "aten.relu.default"} <= {node["target"] for node in found["nodes"]}


def test_the_file_names_no_classes_but_ours(tmp_path):
    """The contract says how inputs nest, the output's arguments what is given; a module is one of a written list."""
    capture(*MODELS["lstm"]).save(tmp_path / "x.mj")
    found = document(tmp_path / "x.mj")
    assert [one["given"] for one in found["contract"]["parameters"]] == [{"tuple": [{"tensor": 0}]}, None]
    assert "in_tree" not in found
    assert {module["class"] for module in found["modules"]} == {"Module", "LSTM"}


def test_the_same_network_gives_the_same_file(tmp_path):
    network = capture(*MODELS["residual"])
    contents = []
    for name in ("a", "b"):
        network.save(tmp_path / name)
        with zipfile.ZipFile(tmp_path / name) as archive:
            contents.append([archive.read(member) for member in archive.namelist()])
    assert contents[0] == contents[1]


def test_a_tied_tensor_is_stored_once(tmp_path):
    capture(*MODELS["tied"]).save(tmp_path / "x.mj")
    plain = sum(t.numel() * t.element_size() for t in capture(*MODELS["tied"]).module.parameters())
    with zipfile.ZipFile(tmp_path / "x.mj") as archive:
        assert archive.getinfo("tensors.safetensors").file_size < plain + 2000


class Scaled(nn.Module):
    def forward(self, w):
        return w * 2


@pytest.mark.parametrize("change", ["module", "parametrization", "argument", "function"])
def test_what_cannot_be_stored_is_refused_and_leaves_no_file(tmp_path, change):
    network = capture(Function(lambda m, x: m.linear(x) + 1, linear=nn.Linear(4, 3)), images(2, 4))
    if change == "module":
        network.module.add_module("other", nn.Bilinear(2, 2, 2))
    elif change == "parametrization":
        nn.utils.parametrize.register_parametrization(network.layer("linear").owner, "weight", Scaled())
    elif change == "argument":
        network.node("add").args = (network.node("linear"), object())
    else:
        network.node("add").target = torch.add
    with pytest.raises(FileError, match=r"cannot be saved"):
        network.save(tmp_path / "x.mj")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(FileError, match="make the folder first"):
        write(capture(*MODELS["residual"]), tmp_path / "none" / "x.mj")
