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


def test_a_saved_model_of_the_zoo_has_its_card_and_metric(quantized):
    found = find_model(str(quantized))
    assert found.card.name == "digits_mobilenet_v2"
    assert found.metric == "top1"


def test_inputs_of_ours_are_known_to_be_so(tmp_path):
    path = tmp_path / "net.py"
    path.write_text("from torch import nn\ndef net():\n    return nn.Sequential(nn.Linear(3, 2))\n")
    found = find_model(f"{path}:net", shape="3")
    assert (found.drawn, found.card) == (True, None)
    assert not find_model(MODEL).drawn


def test_a_device_that_is_not_there_is_refused():
    assert find_model(MODEL, device="cpu").network.device.type == "cpu"
    with pytest.raises(SettingError, match="device: is 'abacus'"):
        find_model(MODEL, device="abacus")
