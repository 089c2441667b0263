import json
import zipfile
from collections import OrderedDict
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn
from torch.utils import _pytree as pytree

from microjoule.capture.export import capture
from microjoule.errors import FileError, SettingError
from microjoule.graph.file.read import read
from microjoule.graph.quantizer import Quantizer
from microjoule.numerics.gaussian import Gaussian
from microjoule.numerics.grid import IntGrid, Scheme
from microjoule.quantization.calibrate import calibrate
from microjoule.quantization.simulate import freeze, quantize
from tests.capture.models import MODELS, Function, images
from tests.fuzz.seeds import evil

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


# Files that are damaged -----------------------------------------------------------------------------------------------


@torch.library.custom_op("microjoule_tests::twice", mutates_args=())
def twice(x: torch.Tensor) -> torch.Tensor:
    """An operator of one's own."""
    return 2 * x


@twice.register_fake
def _(x):
    return torch.empty_like(x)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "network.mj"
    capture(*MODELS["residual"]).save(path)
    return path.read_bytes()


@pytest.fixture
def saved(sound, tmp_path):
    (tmp_path / "network.mj").write_bytes(sound)
    return tmp_path / "network.mj"


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_members(path, contents):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)


def changed(path, change, *, replace=False):
    """The same file, with its document as `change` leaves it, or gives it."""
    document = json.loads(members(path)["network.json"])
    given = change(document)
    write_members(path, members(path) | {"network.json": json.dumps(given if replace else document).encode()})
    return path


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(FileError, match=r"none\.mj: cannot be read: no such file or directory\n  check the path"):
        read(tmp_path / "none.mj")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(saved, share):
    content = saved.read_bytes()
    saved.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(FileError, match=r"is damaged: .*\n  save it anew"):
        read(saved)


@pytest.mark.parametrize("place", [0.2, 0.6, 0.9])
def test_a_damaged_file_is_refused(saved, place):
    content = bytearray(saved.read_bytes())
    start = int(len(content) * place)
    content[start : start + 64] = bytes(64)
    saved.write_bytes(bytes(content))
    with pytest.raises(FileError, match="is damaged: "):
        read(saved)


@pytest.mark.parametrize("member", ["network.json", "tensors.safetensors"])
def test_a_file_that_lacks_a_part_is_refused(saved, member):
    write_members(saved, {name: content for name, content in members(saved).items() if name != member})
    with pytest.raises(FileError, match=f"lacks {member}"):
        read(saved)


@pytest.mark.parametrize("version", [1, 99, None, "2", [2]])
def test_another_format_is_refused(saved, version):
    with pytest.raises(FileError, match=r"has format .*, expected 2\n  save it anew with this version"):
        read(changed(saved, lambda d: d.update(format=version)))


@pytest.mark.parametrize("content", [[1], {"a": 1}, 3, None])
def test_json_of_another_kind_is_refused(saved, content):
    with pytest.raises(FileError, match="has format None"):
        read(changed(saved, lambda d: content, replace=True))


def test_tensors_that_are_none_are_refused(saved):
    write_members(saved, members(saved) | {"tensors.safetensors": b"\xff" * 100})
    with pytest.raises(FileError, match="does not hang together: SafetensorError"):
        read(saved)


# Names ----------------------------------------------------------------------------------------------------------------


def node(document, op):
    return next(node for node in document["nodes"] if node["op"] == op)


def set_target(target, op="call_function"):
    def change(document):
        found = node(document, "call_function")
        found["target"], found["op"] = target, op

    return change


@pytest.mark.parametrize(
    "target",
    [
        *(
            "aten.from_file.default",
            "aten.rand.default",
            "aten.relu_.default",
            "aten.max_pool2d_with_indices_backward.default",
        ),
        *(
            "quantized.linear.default",
            "aten.no_such_operator.default",
            "aten.relu.no_such_overload",
            "aten.relu",
            "aten",
        ),
        *(
            "python.eval",
            "python.__import__",
            "python.attrgetter",
            "os.system",
            "torch.load",
            "torch.ops.aten.relu.default",
        ),
        *("aten.__class__", "aten.__class__.__class__", "aten.relu.__class__", "aten.relu.default.__call__", "", "."),
    ],
)
def test_operators_that_are_not_on_the_list_are_refused(saved, target):
    with pytest.raises(FileError, match=r"does not hang together: KeyError .*not on the list"):
        read(changed(saved, set_target(target)))


@pytest.mark.parametrize(
    "target",
    [
        *(
            "add_module.__func__.__builtins__",
            "__class__",
            "forward",
            "conv1.forward",
            "conv1._parameters",
            "conv1.weight.data",
        ),
        *("conv1", "bn1.training", "conv1.kernel_size", "_modules", "weight", "no.weight"),
    ],
)
def test_get_attr_reaches_tensors_of_the_file_and_nothing_else(saved, target):
    with pytest.raises(FileError, match=r"does not hang together: .*(is no tensor of the file|AttributeError)"):
        read(changed(saved, set_target(target, op="get_attr")))


@pytest.mark.parametrize("target", ["forward", "conv1.weight", "conv1.forward", "__class__", "conv9", "_modules"])
def test_call_module_reaches_modules_of_the_file_and_nothing_else(saved, target):
    with pytest.raises(FileError, match="does not hang together: AttributeError"):
        read(changed(saved, set_target(target, op="call_module")))


def test_a_graph_that_runs_python_is_refused(saved, tmp_path, monkeypatch):
    """Each step by itself would be one of ours: a tensor, an operator, one of several outputs."""
    monkeypatch.chdir(tmp_path)
    saved.write_bytes(evil(saved.read_bytes()))
    with pytest.raises(FileError, match=r"is no tensor of the file|AttributeError"):
        read(saved)
    assert not (tmp_path / "touched").exists()


CODE = '"); open("sprung", "w"); ("'


@pytest.mark.parametrize(
    "change",
    [
        set_target("relu", op="call_method"),
        set_target(CODE, op="get_attr"),
        set_target(CODE, op="call_module"),
        lambda d: d["nodes"][0].update(name=CODE),
        lambda d: d["nodes"][0].update(name="ｅval"),
        lambda d: node(d, "placeholder").update(target=CODE),
        lambda d: node(d, "output").update(target=CODE),
        lambda d: d["nodes"][1].update(kwargs={"dict": [[CODE, 1]]}),
        lambda d: d.update(inputs=[CODE]),
        lambda d: d["contract"]["parameters"][0].update(given={"dict": [[CODE, {"tensor": 0}]]}),
        lambda d: d["modules"][1].update(path=CODE),
    ],
    ids=["method", "stored", "module", "name", "look-alike", "input", "output", "keyword", "inputs", "tree", "path"],
)
def test_names_that_would_be_code_are_refused_and_not_run(saved, tmp_path, monkeypatch, change):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileError, match="does not hang together"):
        read(changed(saved, change))
    assert not (tmp_path / "sprung").exists()


# What does not hang together ------------------------------------------------------------------------------------------


def extra(path, cls, **entry):
    """A module more."""
    plain = {
        "path": path,
        "training": False,
        "class": cls,
        "settings": {},
        "quantizers": {},
        "parameters": {},
        "buffers": {},
    }
    return lambda d: d["modules"].append(plain | entry)


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        (lambda d: d["modules"][1].update({"class": "Upsample"}), "KeyError 'Upsample'"),
        (lambda d: d["modules"][1].pop("settings"), "KeyError 'settings'"),
        (lambda d: d["modules"].pop(0), "the first module is not the root"),
        (lambda d: d["modules"].pop(1), "AttributeError"),
        (lambda d: d["modules"].append(dict(d["modules"][1])), "two modules lie at"),
        (lambda d: d["modules"].append({"path": "a", "same": "b"}), "'a' is the same as 'b', which is not there"),
        (lambda d: d["modules"].append({"path": "conv1.a", "same": "conv1"}), "which the file does not say"),
        (lambda d: d["modules"].append({"path": ".".join("a" * 100), "same": "conv1"}), "is no path of modules"),
        (lambda d: d["modules"].append({"path": "forward", "same": "conv1"}), "attribute 'forward' already exists"),
        (
            lambda d: d["modules"].append({"path": "a.b", "same": "conv1"}),
            "a module lies at 'a', which the file does not",
        ),
        (lambda d: d["modules"][1].update(training=1), "training is 1"),
        (lambda d: d["nodes"].pop(1), "KeyError"),
        (lambda d: d["nodes"].append(d["nodes"][-1]), "two nodes are called output"),
        (lambda d: d["nodes"].pop(), "it has no output at its end"),
        (lambda d: d["nodes"][-1].update(args={"tuple": [1, 2]}), "it gives other than 1 outputs"),
        (lambda d: d["nodes"][-1].update(args={"tuple": [1]}), "it gives nothing that is computed"),
        (lambda d: d["nodes"][-1].update(args={"tuple": []}), "it gives other than 1 outputs"),
        (lambda d: d["nodes"][-1].update(args={"torch": ["load"]}), "TypeError"),
        (lambda d: d["nodes"][-1].update(args={"unknown": [1]}), "unknown tag 'unknown'"),
        (lambda d: d["contract"]["inputs"].clear(), "contract|0 inputs, 1 of which|parameters do not hold"),
        (lambda d: d["contract"]["inputs"][0].update(dtype="int64"), "its example is another tensor"),
        (lambda d: d["contract"]["inputs"][0]["dims"].append(3), "its example is another tensor"),
        (lambda d: d["contract"]["inputs"][0]["dims"].__setitem__(1, 99), "and its example"),
        (lambda d: d["contract"]["parameters"][0].update(given={"tensor": 7}), "do not hold each input once"),
        (lambda d: d["contract"]["parameters"][0].update(kind="any"), "is no kind of parameter"),
        (lambda d: d["contract"].update(conditions=["__import__('os')"]), "have no range|condition|is no"),
        (lambda d: d["contract"].update(sizes={"n": [9, None]}), "its example breaks n >= 9"),
        (lambda d: d["contract"].update(sizes={"n": [1, None], "m": [1, 2]}), "no dimension is called m"),
        (lambda d: d.update(contract=3), "TypeError|not subscriptable"),
        (lambda d: d.update(card={"labels": 3}), "card|TypeError|ValueError"),
        (lambda d: node(d, "placeholder").update(target="self"), "'self' is no name of an input"),
        (lambda d: node(d, "placeholder").update(target="torch"), "'torch' is no name of an input"),
        (lambda d: d.update(preactivations=["conv9"]), "KeyError"),
        (lambda d: d.update(more=1), "it has the unknown more"),
        (lambda d: d.pop("history"), "it lacks history"),
        (lambda d: d["example"].update(values=[]), "ValueError|its example|leaves"),
        (lambda d: d["example"].update(values=[3]), "its example has 0"),
        (lambda d: d.update(history=[{"record": "Invented"}]), "history: .*unknown record 'Invented'"),
    ],
)
def test_a_document_that_does_not_hang_together_is_refused(saved, change, fact):
    with pytest.raises(FileError, match=rf"(does not hang together|network\.mj): .*({fact})"):
        read(changed(saved, change))


def test_modules_that_hold_each_other_are_refused(saved):
    def change(document):
        for path in ("a", "b"):
            extra(path, "Module")(document)
        document["modules"] += [{"path": "a.x", "same": "b"}, {"path": "b.x", "same": "a"}]

    with pytest.raises(FileError, match="which the file does not say"):
        read(changed(saved, change))


def test_modules_that_are_shared_again_and_again_are_refused(saved):
    """Each holds the next one twice: 2^40 paths."""

    def change(document):
        for number in range(40):
            extra(f"m{number}", "Module")(document)
        for number in range(39):
            document["modules"] += [{"path": f"m{number}.{side}", "same": f"m{number + 1}"} for side in "lr"]

    with pytest.raises(FileError, match="which the file does not say"):
        read(changed(saved, change))


def test_parts_of_a_path_need_not_be_names(tmp_path):
    """A ModuleDict may call its modules anything."""
    layers = nn.ModuleDict({"1x1-conv a": nn.Conv2d(3, 2, 1), "7": nn.Conv2d(3, 2, 1)})
    network = capture(
        Function(lambda m, x: m.layers["1x1-conv a"](x) + m.layers["7"](x), layers=layers), images(2, 3, 4, 4)
    )
    again = round_trip(network, tmp_path)
    assert torch.equal(again(images(2, 3, 4, 4)), network(images(2, 3, 4, 4)))
    assert "layers.1x1-conv a.weight" in again.state_dict()


# Structures of inputs and outputs -------------------------------------------------------------------------------------


class Pair(NamedTuple):
    first: Any
    second: Any


def test_inputs_and_outputs_of_other_classes_become_tuples_and_dicts(tmp_path):
    def function(m, pair, scale=None):
        total = pair["x"] * scale + m.linear(pair["y"])
        return Pair(total, OrderedDict(b=[total + 1], a=pair["x"]))

    args = ({"y": images(2, 3), "x": images(2, 3)},)
    module = Function(function, linear=nn.Linear(3, 3))
    network = capture(module, args, {"scale": images(2, 3)})
    again = round_trip(network, tmp_path)
    found, expected = again(*args, scale=images(2, 3)), module(*args, scale=images(2, 3))
    assert type(found) is tuple
    assert [type(found[1]), list(found[1])] == [dict, ["b", "a"]]
    assert torch.equal(found[0], expected.first)
    assert torch.equal(found[1]["b"][0], expected.second["b"][0])
    assert_equal((again.example.args, again.example.kwargs), (args, {"scale": images(2, 3)}))


# What is handed over --------------------------------------------------------------------------------------------------


class Scaled(nn.Module):
    """A layer of one's own: a scale for each channel, to a power."""

    def __init__(self, channels: int, power: float = 1.0) -> None:
        super().__init__()
        self.channels, self.power = channels, power
        self.scale = nn.Parameter(torch.ones(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale[:, None, None] ** self.power


class Halving(Quantizer):
    """A quantizer of one's own, with a number and a tensor of its own."""

    def __init__(self, scheme: Scheme, share: float) -> None:
        super().__init__(scheme)
        self.share = share
        self.register_buffer("seen", torch.zeros(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * self.share


def with_own_classes():
    network = capture(*MODELS["concatenation"])
    quantize(network)
    calibrate(network, images(16, 4, 5, 5))
    relu = next(n for n in network.graph.nodes if n.op == "call_function")
    network.module.add_module("mine", Scaled(relu.meta["val"].shape[1], power=2.0))
    torch.nn.init.uniform_(network.module.mine.scale)
    with network.graph.inserting_after(relu):
        call = network.graph.call_module("mine", (relu,))
    relu.replace_all_uses_with(call, delete_user_cb=lambda user: user is not call)
    name, plain = next(iter(network.quantizers.items()))
    own = Halving(plain.scheme, 0.5)
    own.set_affine(plain.affine)
    own.seen.add_(3)
    network.module.quantizers._modules[name] = own
    network.recompile()
    return network, name


def test_classes_of_ones_own_come_back_when_they_are_handed_over(tmp_path):
    network, name = with_own_classes()
    network.save(tmp_path / "network.mj")
    again = read(tmp_path / "network.mj", allow=[Scaled, Halving])
    x = images(3, 4, 5, 5)
    assert_equal(again(x), network(x))
    assert type(again.module.mine) is Scaled
    assert again.module.mine.power == 2.0
    assert type(again.quantizers[name]) is Halving
    assert again.quantizers[name].seen.tolist() == [3, 3]
    again.save(tmp_path / "again.mj")
    assert_equal(read(tmp_path / "again.mj", allow=[Halving, Scaled])(x), network(x))


@pytest.mark.parametrize(("allow", "missing"), [([], "Halving"), ([Scaled], "Halving"), ([Halving], "Scaled")])
def test_classes_of_ones_own_are_not_found_by_name(tmp_path, allow, missing):
    network, _ = with_own_classes()
    network.save(tmp_path / "network.mj")
    with pytest.raises(
        FileError, match=rf"a file cannot bring {missing} along\n  .*mj\.load\(path, allow=\[{missing}\]\)"
    ):
        read(tmp_path / "network.mj", allow=allow)


def test_operators_of_ones_own_come_back_when_they_are_handed_over(tmp_path):
    network = capture(Function(lambda m, x: torch.ops.microjoule_tests.twice(x)), images(2, 3))
    network.save(tmp_path / "network.mj")
    with pytest.raises(FileError, match=r"the operator microjoule_tests\.twice\.default, which is not on the list"):
        read(tmp_path / "network.mj")
    again = read(tmp_path / "network.mj", allow=[torch.ops.microjoule_tests.twice.default])
    assert torch.equal(again(images(2, 3)), 2 * images(2, 3))


def test_something_else_cannot_be_handed_over(saved):
    with pytest.raises(SettingError, match=r"allow: holds .*, which is no class of modules and no operator"):
        read(saved, allow=[print])
