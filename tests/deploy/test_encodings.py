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


def entry(**changes):
    return lambda d: d[FIRST][0].update(changes)


BAD = {
    "another version": (lambda d: d.update(version="0.6.1"), "has encodings of version '0.6.1'"),
    "no lists": (lambda d: d.pop(FIRST), "does not hold the lists"),
    "a list of numbers": (lambda d: d.update({FIRST: [1]}), "does not hold the lists"),
    "a list": (lambda d: d.clear() or d.update(x=1), "does not hold the lists"),
    "no scale": (lambda d: d[FIRST][0].pop("scale"), "is no integer encoding: it lacks 'scale'"),
    "no symmetry": (lambda d: d[FIRST][0].pop("is_sym"), "it lacks 'is_sym'"),
    "no width": (lambda d: d[FIRST][0].pop("bw"), "it lacks 'bw'"),
    "17 bits": (entry(bw=17), "is no integer encoding: a grid holds 1 to 16 bits, got 17"),
    "bits as a text": (entry(bw="8"), "a grid holds 1 to 16 bits, got '8'"),
    "bits as a truth": (entry(bw=True), "a grid holds 1 to 16 bits, got True"),
    "bits as a fraction": (entry(bw=8.0), "a grid holds 1 to 16 bits, got 8.0"),
    "a float": (entry(dtype="FLOAT"), "its type is FLOAT"),
    "a type of numbers": (entry(dtype=[1]), "its type is"),
    "scale 0": (entry(scale=[0.0] * 3), "a scale is not above 0"),
    "scale below 0": (entry(scale=[0.1, -0.1, 0.1]), "a scale is not above 0"),
    "scale of a text": (entry(scale=["0.1"] * 3), "a scale is not above 0, or no number"),
    "scale of a truth": (entry(scale=[True] * 3), "a scale is not above 0, or no number"),
    "scale too large": (entry(scale=[1e39] * 3), "no number of 32 bits"),
    "scale too small": (entry(scale=[1e-60] * 3), "no number of 32 bits"),
    "scale alone": (entry(scale=0.1), "it has no list of scales"),
    "no scales": (entry(scale=[], offset=[]), "it has no list of scales"),
    "nested scales": (entry(scale=[[0.1]] * 3), "a scale is not above 0, or no number"),
    "scales and offsets": (entry(offset=[0]), "or not an offset for each"),
    "one scale too many": (entry(enc_type="PER_TENSOR"), "it has 3 scales for one tensor"),
    "an offset outside": (entry(offset=[-900] * 3), "has an offset outside its grid"),
    "an offset far outside": (entry(offset=[10**18] * 3), "has an offset outside its grid"),
    "an offset of a fraction": (entry(offset=[-128.0] * 3), "an offset is no whole number"),
    "symmetric as a number": (entry(is_sym=1), "it is 1 that it is symmetric"),
    "symmetric with an offset": (entry(offset=[-127] * 3), "it says that it is symmetric, and has an offset"),
    "twice": (lambda d: d[FIRST].append(d[FIRST][0]), "has two encodings, or one without a name"),
    "without a name": (lambda d: d[FIRST][0].pop("name"), "one without a name, for None"),
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


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("[" * 100_000, "is nested more than 64 deep"),
        ('{"version": "1.0.0", "version": "1.0.0"}', "names the same field twice"),
        ('"scale": [', "is not valid JSON"),
    ],
)
def test_json_beyond_the_bounds_is_refused(network, tmp_path, text, fact):
    (tmp_path / "e.json").write_text(text)
    with pytest.raises(FileError, match=fact):
        load_encodings(network, tmp_path / "e.json")


def test_a_scale_of_400_digits_is_refused(network, tmp_path):
    path = tmp_path / "e.json"
    path.write_text(encodings_text(network).replace('"scale": [', '"scale": [' + "9" * 400 + ", ", 1))
    with pytest.raises(FileError, match="a whole number has more than 64 bits"):
        load_encodings(network, path)


@pytest.mark.parametrize("key", ["activation_encodings", FIRST])
def test_a_quantizer_without_an_entry_does_not_keep_its_range_unsaid(key, network, tmp_path):
    """It would have the range that it had before, and nobody would know."""
    path = changed(network, tmp_path / "encodings.json", lambda d: d[key].pop())
    for quantizer in [*network.quantizers.values(), *(layer.quantizer for layer in network.layers)]:
        quantizer.set_range(torch.full_like(quantizer.scale, -7), torch.full_like(quantizer.scale, 9))
    before = encodings_text(network)
    with pytest.raises(
        GraphError, match=r"has a quantizer, and no encoding in .*\n  write an entry .* or say partial=True"
    ):
        load_encodings(network, path)
    assert encodings_text(network) == before
    record = load_encodings(network, path, partial=True)
    assert encodings_text(network) != before
    known = {entry["name"] for entry in json.loads(path.read_text())["activation_encodings"]}
    assert {found.name for found in record.ranges} == known


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
