import json
import zipfile

import pytest
import torch
from torch.utils import _pytree as pytree

from microjoule.capture.export import capture
from microjoule.errors import FileError
from microjoule.graph.file.read import read
from microjoule.graph.quantizer import Quantizer
from microjoule.numerics.gaussian import Gaussian
from microjoule.numerics.grid import IntGrid, Scheme
from microjoule.quantization.calibrate import calibrate
from microjoule.quantization.simulate import freeze, quantize
from tests.capture.models import MODELS, images

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")


def round_trip(network, tmp_path):
    network.save(tmp_path / "network.mj")
    return read(tmp_path / "network.mj")


def assert_equal(found, expected):
    """The same tree of tensors, bit by bit."""
    assert pytree.tree_structure(found) == pytree.tree_structure(expected)
    for a, b in zip(pytree.tree_leaves(found), pytree.tree_leaves(expected), strict=True):
        assert a.dtype == b.dtype
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", MODELS)
def test_a_network_comes_back_bit_by_bit(tmp_path, name):
    module, args = MODELS[name]
    network = capture(module, args)
    again = round_trip(network, tmp_path)
    assert_equal(again(*args), network(*args))
    assert_equal(again.state_dict(), network.state_dict())
    assert_equal((again.example.args, again.example.kwargs), (network.example.args, network.example.kwargs))
    assert again.history == network.history
    assert again.dynamic_batch == network.dynamic_batch
    assert [(n.name, n.op, n.target) for n in again.graph.nodes] == [
        (n.name, n.op, n.target) for n in network.graph.nodes
    ]
    assert repr(again.module) == repr(network.module)


@pytest.mark.parametrize("name", MODELS)
def test_parameters_stay_tied_and_learnable(tmp_path, name):
    network = capture(*MODELS[name])
    again = round_trip(network, tmp_path)
    assert {n for n, _ in again.module.named_parameters()} == {n for n, _ in network.module.named_parameters()}
    assert [p.requires_grad for p in again.module.parameters()] == [
        p.requires_grad for p in network.module.parameters()
    ]


def test_a_second_trip_gives_the_same_file(tmp_path):
    network = capture(*MODELS["residual"])
    again = round_trip(network, tmp_path)
    again.save(tmp_path / "again.mj")
    contents = []
    for name in ("network.mj", "again.mj"):
        with zipfile.ZipFile(tmp_path / name) as archive:
            contents.append(archive.read("network.json"))
    assert contents[0] == contents[1]


@pytest.mark.parametrize("target", ["onnxruntime", "per-tensor", "qualcomm-htp", "tflite-micro", "xnnpack"])
@pytest.mark.parametrize("frozen", [False, True])
def test_quantizers_and_integers_come_back(tmp_path, target, frozen):
    network = capture(*MODELS["concatenation"])
    quantize(network, target=target)
    calibrate(network, images(16, 4, 5, 5))
    next(iter(network.quantizers.values())).enabled = False
    if frozen:
        freeze(network)
    again = round_trip(network, tmp_path)
    x = images(3, 4, 5, 5)
    assert_equal(again(x), network(x))
    assert list(again.quantizers) == list(network.quantizers)
    assert len({id(q) for q in again.quantizers.values()}) == len({id(q) for q in network.quantizers.values()})
    for one, other in zip(again.quantizers.values(), network.quantizers.values(), strict=True):
        assert (one.scheme, one.enabled) == (other.scheme, other.enabled)
    for layer in again.layers:
        assert layer.quantizer is not None
        assert (layer.quantizer.integers is not None) == frozen
    assert again.history == network.history


def test_a_quantizer_without_a_range_comes_back_without_one(tmp_path):
    network = capture(*MODELS["concatenation"])
    quantize(network)
    again = round_trip(network, tmp_path)
    assert not any(quantizer.calibrated for quantizer in again.quantizers.values())


def test_modes_and_preactivations_come_back(tmp_path):
    network = capture(*MODELS["residual"]).train()
    network.module.bn1.eval()
    network.preactivations["conv1"] = Gaussian(images(4), images(4).abs())
    again = round_trip(network, tmp_path)
    assert {n: m.training for n, m in again.module.named_modules()} == {
        n: m.training for n, m in network.module.named_modules()
    }
    assert torch.equal(again.preactivations["conv1"].mean, network.preactivations["conv1"].mean)
    assert torch.equal(again.preactivations["conv1"].std, network.preactivations["conv1"].std)


def test_per_channel_and_power_of_two_grids_come_back(tmp_path):
    network = capture(*MODELS["residual"])
    layer = network.layer("conv1")
    quantizer = Quantizer(Scheme(IntGrid(3), symmetric=True, axis=0, power_of_two=True))
    torch.nn.utils.parametrize.register_parametrization(layer.owner, "weight", quantizer)
    quantizer.set_range(-torch.rand(4), torch.rand(4))
    again = round_trip(network, tmp_path).layer("conv1").quantizer
    assert again.scheme == quantizer.scheme
    assert torch.equal(again.scale, quantizer.scale)


# Refusals -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path):
    capture(*MODELS["residual"]).save(tmp_path / "network.mj")
    return tmp_path / "network.mj"


def changed(path, change):
    """The same file, with its document as `change` leaves it (or gives it)."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    document = json.loads(members["network.json"])
    document = change(document) or document
    members["network.json"] = json.dumps(document).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(FileError, match=r"none\.mj: does not exist"):
        read(tmp_path / "none.mj")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(saved, share):
    content = saved.read_bytes()
    saved.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(FileError, match=r"is no whole network file: .*\n  save it anew"):
        read(saved)


@pytest.mark.parametrize("place", [0.2, 0.6, 0.9])
def test_a_damaged_file_is_refused(saved, place):
    content = bytearray(saved.read_bytes())
    start = int(len(content) * place)
    content[start : start + 64] = bytes(64)
    saved.write_bytes(bytes(content))
    with pytest.raises(FileError, match="is no whole network file"):
        read(saved)


@pytest.mark.parametrize("member", ["network.json", "tensors.safetensors"])
def test_a_file_that_lacks_a_part_is_refused(saved, member):
    with zipfile.ZipFile(saved) as archive:
        kept = {name: archive.read(name) for name in archive.namelist() if name != member}
    with zipfile.ZipFile(saved, "w") as archive:
        for name, content in kept.items():
            archive.writestr(name, content)
    with pytest.raises(FileError, match=f"is no whole network file.*{member}"):
        read(saved)


def test_another_format_is_refused(saved):
    with pytest.raises(FileError, match="has format 99, expected 1"):
        read(changed(saved, lambda d: d.update(format=99)))


@pytest.mark.parametrize("content", [[1], {"a": 1}, 3])
def test_json_of_another_kind_is_refused(saved, content):
    with pytest.raises(FileError, match="is no whole network file"):
        read(changed(saved, lambda d: content))


def set_target(target, op="call_function"):
    def change(document):
        node = next(node for node in document["nodes"] if node["op"] == "call_function")
        node["target"], node["op"] = target, op

    return change


@pytest.mark.parametrize(
    "target",
    [
        "aten.from_file.default",
        "quantized.linear.default",
        "aten.no_such_operator.default",
        "aten.relu.no_such_overload",
        "python.eval",
        "python.__import__",
        "os.system",
        "torch.load",
        "aten.__class__",
    ],
)
def test_foreign_operators_are_refused(saved, target):
    with pytest.raises(FileError, match=r"does not hang together: .*\n  save it anew"):
        read(changed(saved, set_target(target)))


CODE = '"); open("sprung", "w"); ("'


@pytest.mark.parametrize(
    "change",
    [
        set_target("relu", op="call_method"),
        set_target(CODE, op="get_attr"),
        set_target(CODE, op="call_module"),
        lambda d: d["nodes"][0].update(name=CODE),
        lambda d: next(n for n in d["nodes"] if n["op"] == "placeholder").update(target=CODE),
        lambda d: d["nodes"][1].update(kwargs={"dict": [[CODE, 1]]}),
        lambda d: d.update(inputs=[CODE]),
        lambda d: d.update(in_spec=d["in_spec"].replace("[]", f"[{json.dumps(CODE)}]")),
        lambda d: d["modules"][1].update(path=CODE),
    ],
    ids=["method", "stored", "module", "name", "input", "keyword", "inputs", "tree", "path"],
)
def test_names_that_would_be_code_are_refused_and_not_run(saved, tmp_path, monkeypatch, change):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileError, match="does not hang together"):
        read(changed(saved, change))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["modules"][1].update({"class": "Upsample"}),
        lambda d: d["modules"][1]["settings"].update(groups=3),
        lambda d: d["modules"][1]["settings"].update(device="meta"),
        lambda d: d["modules"][1].pop("settings"),
        lambda d: d["modules"].pop(1),
        lambda d: d["nodes"].pop(1),
        lambda d: d["nodes"][-1].update(args={"torch": ["load"]}),
        lambda d: d["nodes"][-1].update(args={"unknown": 1}),
        lambda d: d.update(out_spec='[1, {"type": "__enum__", "context": "x", "children_spec": []}]'),
        lambda d: d.update(preactivations=["conv9"]),
        lambda d: d["example"].update(tuple=[1]),
    ],
)
def test_a_document_that_does_not_hang_together_is_refused(saved, change):
    with pytest.raises(FileError, match="does not hang together"):
        read(changed(saved, lambda d: change(d) and None))


def test_a_history_of_unknown_records_is_refused(saved):
    with pytest.raises(FileError):
        read(changed(saved, lambda d: d.update(history=[{"record": "Invented"}])))
