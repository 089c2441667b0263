import json

import pytest
import torch
from torch import nn, tensor

from microjoule.capture.export import capture
from microjoule.deploy.encodings import encodings_text, load_encodings, weight_key
from microjoule.errors import FileError, GraphError
from microjoule.quantization.simulate import quantize
from tests.deploy.networks import images, quantized, small


@pytest.fixture
def network():
    return quantized(nn.Sequential(nn.Conv2d(4, 3, 1), nn.ReLU()), images(4, 4, 5, 5))


def entries(network, key):
    return {entry["name"]: entry for entry in json.loads(encodings_text(network))[key]}


def test_an_activation_by_hand(network):
    """Unsigned, from -1 to 1.55 in steps of 0.01: the first grid value is -100 steps."""
    quantizer = next(iter(network.quantizers.values()))
    quantizer.set_range(tensor(-1.0), tensor(1.55))
    entry = entries(network, "activation_encodings")[next(iter(network.quantizers))]
    assert entry["scale"] == [pytest.approx(0.01)]
    del entry["scale"], entry["name"]
    assert entry == {"dtype": "INT", "bw": 8, "enc_type": "PER_TENSOR", "is_sym": False, "offset": [-100]}


def test_a_weight_by_hand(network):
    """Signed and symmetric: the first of 2^8 grid values is -128 steps, whether the grid uses it or not."""
    entry = entries(network, "param_encodings")["0.weight"]
    assert (entry["enc_type"], entry["is_sym"], entry["offset"], len(entry["scale"])) == (
        "PER_CHANNEL",
        True,
        [-128] * 3,
        3,
    )


@pytest.mark.parametrize("target", ["onnxruntime", "per-tensor", "qualcomm-htp"])
def test_a_round_trip_is_exact(target, tmp_path):
    network, x = small("relu6", target=target)
    path = tmp_path / "encodings.json"
    path.write_text(encodings_text(network))
    other = network.copy()
    for quantizer in [*other.quantizers.values(), *(layer.quantizer for layer in other.layers)]:
        low = torch.zeros_like(quantizer.scale)
        quantizer.set_range(low - 7, low + 9)
    with torch.no_grad():
        assert not torch.equal(other(x), network(x))
        record = load_encodings(other, path)
        assert torch.equal(other(x), network(x))
    assert encodings_text(other) == encodings_text(network)
    assert [found.name for found in record.ranges] == list(network.quantizers)
    assert other.history[-1] is record


def test_ranges_of_the_record_are_the_ends_of_the_grid(network, tmp_path):
    next(iter(network.quantizers.values())).set_range(tensor(-1.0), tensor(1.55))
    path = tmp_path / "encodings.json"
    path.write_text(encodings_text(network))
    found = load_encodings(network, path).ranges[0]
    assert (found.low, found.high) == (pytest.approx(-1.0), pytest.approx(1.55))


def test_layers_in_floating_point_are_excluded():
    network = quantized(nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 2, 1)), images(2, 4, 3, 3), layers={"0": None})
    assert json.loads(encodings_text(network))["excluded_layers"] == ["0"]


def test_a_functional_layer_goes_by_the_name_of_its_weight():
    network, _ = small("function")
    (layer,) = network.layers
    assert weight_key(layer) == layer.path


def changed(network, path, change):
    document = json.loads(encodings_text(network))
    change(document)
    path.write_text(json.dumps(document))
    return path


FIRST = "param_encodings"
BAD = {
    "another version": (lambda d: d.update(version="0.6.1"), "has encodings of version 0.6.1"),
    "no lists": (lambda d: d.pop(FIRST), "does not hold the lists"),
    "a list of numbers": (lambda d: d.update({FIRST: [1]}), "does not hold the lists"),
    "no scale": (lambda d: d[FIRST][0].pop("scale"), "is no integer encoding"),
    "17 bits": (lambda d: d[FIRST][0].update(bw=17), "is no integer encoding"),
    "a float": (lambda d: d[FIRST][0].update(dtype="FLOAT"), "its type is FLOAT"),
    "scale 0": (lambda d: d[FIRST][0].update(scale=[0.0] * 3), "a scale is not above 0"),
    "scales and offsets": (lambda d: d[FIRST][0].update(offset=[0]), "has scales of shape"),
    "an offset outside": (lambda d: d[FIRST][0].update(offset=[-900] * 3), "has an offset outside its grid"),
    "channels for a tensor": (
        lambda d: d["activation_encodings"][0].update(enc_type="PER_CHANNEL", scale=[1.0, 1.0], offset=[0, 0]),
        "a scale for each channel, and the quantizer one",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_file_is_refused_and_changes_nothing(name, network, tmp_path):
    change, message = BAD[name]
    before = encodings_text(network)
    with pytest.raises(FileError, match=message):
        load_encodings(network, changed(network, tmp_path / "encodings.json", change))
    assert encodings_text(network) == before


def test_a_missing_or_broken_file_is_refused(network, tmp_path):
    with pytest.raises(FileError, match="cannot be read"):
        load_encodings(network, tmp_path / "none.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(FileError, match="is not valid JSON"):
        load_encodings(network, tmp_path / "broken.json")


def test_an_entry_without_a_quantizer_is_refused(network, tmp_path):
    path = changed(network, tmp_path / "encodings.json", lambda d: d[FIRST][0].update(name="other.weight"))
    with pytest.raises(GraphError, match=r"other\.weight: has an encoding"):
        load_encodings(network, path)


def test_another_number_of_channels_is_refused(network, tmp_path):
    change = lambda d: d[FIRST][0].update(scale=[1.0] * 4, offset=[-128] * 4)  # noqa: E731
    with pytest.raises(GraphError, match="has 3 channels, and its encoding 4"):
        load_encodings(network, changed(network, tmp_path / "encodings.json", change))


def test_a_quantizer_without_a_range_has_no_encoding():
    network = capture(nn.Sequential(nn.Conv2d(4, 3, 1)), images(4, 4, 5, 5))
    quantize(network)
    with pytest.raises(GraphError, match="has no range yet"):
        encodings_text(network)
