"""What a command line calls a model."""

import pytest

from microjoule.cli.models import find_model
from microjoule.errors import FileError, SettingError
from microjoule.records.stages import stage_name
from tests.cli.conftest import MODEL


def test_a_model_of_the_zoo_brings_its_card():
    found = find_model(MODEL)
    assert found.card is not None
    assert len(found.network.layers) > 5
    assert stage_name(found.network.history) == "fp32"


def test_a_function_of_a_file_gives_a_model(tmp_path):
    path = tmp_path / "net.py"
    path.write_text("from torch import nn, ones\ndef net():\n    return nn.Sequential(nn.Linear(3, 2)), ones(1, 3)\n")
    assert [layer.path for layer in find_model(f"{path}:net").network.layers] == ["0"]


@pytest.mark.parametrize("source", ["nowhere.pt2", "zoo:nothing", "nowhere.py:net", "model.onnx"])
def test_what_is_no_model_is_refused(source):
    with pytest.raises((FileError, SettingError)):
        find_model(source)
