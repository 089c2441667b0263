"""Files from others: nothing in them runs, what is damaged is one refusal, and none takes more than its size allows."""

import io
import json
import re
import subprocess
import sys
import zipfile
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.cases.interface import (
    Refusal,
    capture,
    command_line,
    data_free,
    energy,
    export,
    load,
    load_encodings,
    read_graph,
    target,
    target_text,
)

NETWORK, TENSORS = "network.json", "tensors.safetensors"
MEGABYTE = 1 << 20
ROOT = Path(__file__).parents[2]


class Payload:
    """What makes a file when it is unpickled."""

    def __reduce__(self):
        return open, ("touched", "w")


def small():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)).eval()
    return capture(module, torch.rand(2, 2, 8, 8))


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """The document of a network, and its tensors as bytes."""
    path = tmp_path_factory.mktemp("sound") / "sound.mj"
    small().save(path)
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read(NETWORK)), archive.read(TENSORS)


@pytest.fixture(scope="module")
def quantized():
    return data_free(small(), input_range=(0.0, 1.0))


def packed(document, tensors, how=zipfile.ZIP_STORED):
    """A network's file, of a document or of a text in its place."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", how) as archive:
        archive.writestr(NETWORK, document if isinstance(document, str) else json.dumps(document))
        archive.writestr(TENSORS, tensors)
    return bytearray(buffer.getvalue())


# Nothing runs ---------------------------------------------------------------------------------------------------------


def node(name, kind, called, *args):
    return {"name": name, "op": kind, "target": called, "args": {"tuple": list(args)}, "kwargs": {"dict": []}}


ROADS = {
    "a tensor of a method's globals": [node("b", "get_attr", "add_module.__func__.__builtins__")],
    "the type of operators": [
        node("t", "call_function", "aten.__class__.__class__", "X", {"tuple": []}, {"dict": []}),
    ],
    "a module's own method": [node("m", "call_module", "add_module")],
    "a method of a value": [node("m", "call_method", "__reduce__")],
    "a file that an operator reads": [node("f", "call_function", "aten.from_file.default", "sound.mj")],
    "Python's eval": [node("e", "call_function", "python.eval", "open('touched', 'w').close()")],
    "all of it": [
        node("b", "get_attr", "add_module.__func__.__builtins__"),
        node("e", "call_function", "python.getitem", {"node": "b"}, "exec"),
        node(
            *("t", "call_function", "aten.__class__.__class__", "X"),
            *({"tuple": []}, {"dict": [["__class_getitem__", {"node": "e"}]]}),
        ),
        node("r", "call_function", "python.getitem", {"node": "t"}, "open('touched', 'w').close()"),
    ],
}


@pytest.mark.parametrize("road", ROADS)
def test_a_graph_that_would_run_python_is_refused(tmp_path, monkeypatch, sound, road):
    monkeypatch.chdir(tmp_path)
    document, tensors = deepcopy(sound[0]), sound[1]
    document["nodes"][-1:-1] = deepcopy(ROADS[road])
    Path("evil.mj").write_bytes(packed(document, tensors))
    assert command_line(["inspect", "evil.mj"]) == 2
    assert not Path("touched").exists()


@pytest.mark.parametrize("part", ["in_tree", "out_tree"])
def test_a_structure_cannot_name_a_class(tmp_path, monkeypatch, sound, part):
    monkeypatch.chdir(tmp_path)
    document, tensors = deepcopy(sound[0]), sound[1]
    leaf = {"type": None, "context": None, "children_spec": []}
    context = '{"default_factory_module": "antigravity", "default_factory_name": "x", "dict_context": []}'
    named = {"type": "collections.defaultdict", "context": context, "children_spec": [leaf]}
    document[part] = json.dumps([1, named])
    Path("evil.mj").write_bytes(packed(document, tensors))
    with pytest.raises(Refusal):
        load("evil.mj")


@pytest.mark.parametrize("last", [True, False], ids=["sound one last", "sound one first"])
def test_an_exported_program_with_a_member_twice_is_refused(tmp_path, monkeypatch, last):
    """Readers differ in which of the two they take."""
    monkeypatch.chdir(tmp_path)
    buffer = io.BytesIO()
    torch.save(Payload(), buffer)
    torch.export.save(torch.export.export(nn.Linear(4, 2), (torch.rand(2, 4),)), "sound.pt2")
    with zipfile.ZipFile("sound.pt2") as source, zipfile.ZipFile("evil.pt2", "w") as evil:
        for name in source.namelist():
            contents = [source.read(name)]
            if name.endswith("sample_inputs/model.pt"):
                contents = [buffer.getvalue()] * 30 + contents if last else contents + [buffer.getvalue()] * 30
            with pytest.warns(UserWarning, match="Duplicate") if len(contents) > 1 else pytest.MonkeyPatch.context():
                for content in contents:
                    evil.writestr(name, content)
    with pytest.raises(Refusal, match="twice"):
        load("evil.pt2")
    assert not Path("touched").exists()


@pytest.mark.parametrize("member", ["sample_inputs/model.pt", "weights/weight", "model.json"])
def test_an_exported_program_with_a_pickle_in_it_is_refused(tmp_path, monkeypatch, member):
    monkeypatch.chdir(tmp_path)
    buffer = io.BytesIO()
    torch.save(Payload(), buffer)
    torch.export.save(torch.export.export(nn.Linear(4, 2), (torch.rand(2, 4),)), "sound.pt2")
    with zipfile.ZipFile("sound.pt2") as source, zipfile.ZipFile("evil.pt2", "w") as evil:
        for name in source.namelist():
            evil.writestr(name, buffer.getvalue() if member in name else source.read(name))
    try:
        load("evil.pt2")
    except Refusal:
        pass
    else:
        assert member.startswith("weights")  # bytes of a tensor, whatever they are
    assert not Path("touched").exists()


# Damage ---------------------------------------------------------------------------------------------------------------


def with_byte(content, at, value):
    content[at] = value
    return content


def central(content):
    """Where the archive's list of members begins."""
    return content.find(b"PK\x01\x02")


def with_setting(sound, name, value):
    document = deepcopy(sound[0])
    found = [module for module in document["modules"] if name in module.get("settings", {})]
    assert found
    for module in found:
        module["settings"][name] = value
    return packed(document, sound[1])


def damaged_stream(sound):
    content = packed(*sound, zipfile.ZIP_DEFLATED)
    content[80] ^= 255
    content[90] ^= 255
    return content


def changed(content, *places):
    for at, value in places:
        content[at] = value
    return content


def encrypted(sound):
    content = packed(*sound)
    return changed(content, (central(content) + 8, 1), (6, 1))


def no_utf8(sound):
    content = packed(*sound)
    return changed(content, (central(content) + 9, 8), (central(content) + 46, 0xFF))


NETWORKS = {
    "nested 100,000 deep": lambda sound: packed("[" * 100_000, sound[1]),
    "objects nested 100,000 deep": lambda sound: packed('{"a":' * 100_000, sound[1]),
    "a damaged stream": damaged_stream,
    "an unknown compression": lambda sound: changed(packed(*sound), (central(packed(*sound)) + 10, 99)),
    "an encrypted member": encrypted,
    "a name that is no UTF-8": no_utf8,
    "groups of 0": lambda sound: with_setting(sound, "groups", 0),
    "groups of -1": lambda sound: with_setting(sound, "groups", -1),
    "a stride of 0": lambda sound: with_setting(sound, "stride", [0, 0]),
    "a dilation of 0": lambda sound: with_setting(sound, "dilation", [0, 0]),
    "a padding of words": lambda sound: with_setting(sound, "padding", "many"),
    "10**30 inputs": lambda sound: with_setting(sound, "in_features", 10**30),
    "inputs of a text": lambda sound: with_setting(sound, "in_features", "144"),
    "inputs of a fraction": lambda sound: with_setting(sound, "in_features", 144.5),
    "inputs of true": lambda sound: with_setting(sound, "in_features", True),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_damaged_network_is_refused(tmp_path, sound, name):
    path = tmp_path / "damaged.mj"
    path.write_bytes(NETWORKS[name](sound))
    with pytest.raises(Refusal, match=r"damaged\.mj"):
        load(path)
    assert command_line(["inspect", str(path)]) == 2


ENCODINGS = {
    "nested 100,000 deep": lambda text: "[" * 100_000,
    "a scale of 400 digits": lambda text: text.replace('"scale": [', '"scale": [' + "9" * 400 + ", ", 1),
    "a scale of 0": lambda text: text.replace('"scale": [', '"scale": [0.0, ', 1),
    "a scale that is NaN": lambda text: text.replace('"scale": [', '"scale": [NaN, ', 1),
    "bits in a text": lambda text: text.replace('"bw": 8', '"bw": "8"', 1),
    "bits of 1e400": lambda text: text.replace('"bw": 8', '"bw": 1e400', 1),
    "an offset of 10**30": lambda text: text.replace('"offset": [', '"offset": [' + "1" * 30 + ", ", 1),
    "without the symmetry": lambda text: text.replace('"is_sym"', '"is_sim"'),
    "a list": lambda text: "[1]",
    "cut in two": lambda text: text[: len(text) // 2],
}


@pytest.fixture(scope="module")
def encodings(tmp_path_factory, quantized):
    folder = tmp_path_factory.mktemp("encodings")
    export(quantized, folder / "sound.onnx", encodings=folder / "sound.json")
    return (folder / "sound.json").read_text()


@pytest.mark.parametrize("name", ENCODINGS)
def test_damaged_encodings_are_refused(tmp_path, quantized, encodings, name):
    damaged = ENCODINGS[name](encodings)
    assert damaged != encodings
    (tmp_path / "damaged.json").write_text(damaged)
    with pytest.raises(Refusal, match=r"damaged\.json"):
        load_encodings(quantized.copy(), tmp_path / "damaged.json")


TARGETS = {
    "nested 50,000 deep": lambda text: "a = " + "[" * 50_000,
    "an infinite opset": lambda text: text.replace("opset = 21", "opset = inf"),
    "an opset of a text": lambda text: text.replace("opset = 21", 'opset = "21"'),
    "an opset of a fraction": lambda text: text.replace("opset = 21", "opset = 21.5"),
    "operators of a number": lambda text: text.replace("[operators]", "operators = 3\n[operator]"),
    "cut in two": lambda text: text[: len(text) // 2],
}


@pytest.mark.parametrize("name", TARGETS)
def test_a_damaged_target_is_refused(tmp_path, name):
    text = target_text("onnxruntime")
    damaged = TARGETS[name](text)
    assert damaged != text
    (tmp_path / "damaged.toml").write_text(damaged)
    with pytest.raises(Refusal, match=r"damaged\.toml"):
        target(tmp_path / "damaged.toml")


@pytest.mark.parametrize("text", ["a = " + "[" * 50_000, "x = inf", "", "= 1"])
def test_a_damaged_table_of_energies_is_refused(tmp_path, text):
    (tmp_path / "damaged.toml").write_text(text)
    with pytest.raises(Refusal, match=r"damaged\.toml"):
        energy(tmp_path / "damaged.toml")


@pytest.mark.parametrize(
    "text",
    [
        "[1]",
        "3",
        "null",
        '{"tensors": 1, "ops": []}',
        '{"tensors": [1], "ops": [{"inputs": [], "outputs": [0]}]}',
        *(
            f'{{"tensors": [{{"size": {size}}}], "ops": [{{"inputs": [], "outputs": [0]}}]}}'
            for size in ("1e400", '"12"', "true", "-1", "1.5", "null", "[1]", "NaN", "9" * 400)
        ),
        '{"tensors": [{"size": 1}], "ops": [{"inputs": 0, "outputs": [0]}]}',
        '{"tensors": [{"size": 1}], "ops": [{"inputs": [7], "outputs": [0]}]}',
        '{"tensors": [{"size": 1}], "ops": [{"inputs": [], "outputs": [true]}]}',
        '{"tensors": [{"size": 1}], "ops": [3]}',
    ],
    ids=lambda text: text[:60],
)
def test_a_damaged_computation_is_refused(tmp_path, text):
    (tmp_path / "damaged.json").write_text(text)
    with pytest.raises(Refusal, match=r"damaged(\.json|: operator 0)|value 0"):
        read_graph(tmp_path / "damaged.json")


# Data -----------------------------------------------------------------------------------------------------------------

X = np.zeros((4, 2, 8, 8), np.float32)
LABELS = {
    "fractions": np.array([0, 1, 1.5, 2]),
    "NaN": np.array([0, 1, np.nan, 2]),
    "infinity": np.array([0, 1, np.inf, 2]),
    "texts": np.array(["cat", "dog", "cat", "dog"]),
    "objects": np.array([0, "a", None, 2], dtype=object),
    "negative": np.array([0, 1, -1, 2]),
    "more classes than outputs": np.array([0, 1, 10, 2]),
    "one too few": np.arange(3),
    "imaginary": np.arange(4) * 1j,
}


@pytest.fixture(scope="module")
def network_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "network.mj"
    small().save(path)
    return path


@pytest.mark.parametrize("name", LABELS)
def test_labels_that_are_none_are_refused(tmp_path, capsys, network_file, name):
    np.savez(tmp_path / "data.npz", x=X, y=LABELS[name])
    assert command_line(["evaluate", str(network_file), "--data", str(tmp_path / "data.npz")]) == 2
    assert re.search(r"data\.npz: .*\n  |has labels .*, the network 10 classes\n  ", capsys.readouterr().err)


def array(header):
    """An .npy file of which the header is another."""
    text = header.encode("latin1")
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + X.tobytes()


HEADERS = {
    "sound": "{'descr': '<f4', 'fortran_order': False, 'shape': (4, 2, 8, 8), }\n",
    "code": "__import__('os').system('touch touched')",
    "a shape of words": "{'descr': '<f4', 'fortran_order': False, 'shape': ('a',), }\n",
    "a shape of 10**12": "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }\n",
    "a shape below 0": "{'descr': '<f4', 'fortran_order': False, 'shape': (-4, 2, 8, 8), }\n",
    "objects": "{'descr': '|O', 'fortran_order': False, 'shape': (4, 2, 8, 8), }\n",
    "an unknown type": "{'descr': '<q9', 'fortran_order': False, 'shape': (4, 2, 8, 8), }\n",
    "nested deep": "(" * 5000,
    "nothing": "",
}


@pytest.mark.parametrize("name", HEADERS)
def test_arrays_with_a_broken_header_are_refused(tmp_path, monkeypatch, capsys, network_file, name):
    monkeypatch.chdir(tmp_path)
    labels = io.BytesIO()
    np.save(labels, np.arange(4))
    with zipfile.ZipFile("data.npz", "w") as archive:
        archive.writestr("x.npy", array(HEADERS[name]))
        archive.writestr("y.npy", labels.getvalue())
    code = command_line(["evaluate", str(network_file), "--data", "data.npz"])
    assert code == (0 if name == "sound" else 2)
    assert code == 0 or "data.npz" in capsys.readouterr().err
    assert not Path("touched").exists()


# Small files that say that they are large -----------------------------------------------------------------------------


def wide(sound):
    document = deepcopy(sound[0])
    for module in document["modules"]:
        if module.get("class") == "Linear":
            module["settings"].update(in_features=16_000, out_features=16_000)
    return packed(document, sound[1])


def deep(sound):
    settings = {"input_size": 1, "hidden_size": 1, "num_layers": 20_000, "bias": True, "batch_first": True}
    settings |= {"dropout": 0.0, "bidirectional": False, "proj_size": 0}
    extra = {"path": "extra", "training": False, "class": "LSTM", "settings": settings}
    document = deepcopy(sound[0])
    document["modules"].append({**extra, "quantizers": {}, "parameters": {}, "buffers": {}})
    return packed(document, sound[1])


def grown(sound, called, *args):
    """An operator that makes much of little."""
    document = deepcopy(sound[0])
    document["nodes"][-1:-1] = [node("grown", "call_function", called, *args)]
    return packed(document, sound[1])


SMALL = {
    "a layer of 16,000 x 16,000": wide,
    "an LSTM of 20,000 layers": deep,
    "zeros as tensors": lambda sound: packed(sound[0], bytes(200 * MEGABYTE), zipfile.ZIP_DEFLATED),
    "spaces as a document": lambda sound: packed(" " * (100 * MEGABYTE), sound[1], zipfile.ZIP_DEFLATED),
    "zeros of 40 GB": lambda sound: grown(sound, "aten.zeros.default", [10**10]),
    "a range of 40 GB": lambda sound: grown(sound, "aten.arange.default", 10**10),
}


READ = """
import resource, sys, time
from pathlib import Path
from tests.cases.interface import Refusal, load

used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 500 * 2**20, resource.RLIM_INFINITY))
for path in sys.argv[1:]:
    begin = time.process_time()
    try:
        load(path)
    except Refusal as refusal:
        print("slow" if time.process_time() - begin > 20 else str(refusal).splitlines()[0])
    except BaseException as error:
        print(type(error).__name__)
    else:
        print("accepted")
"""
"""Reads files in a process whose memory is bounded, and says of each how that ended."""

REASONS = {
    "a layer of 16,000 x 16,000": "have other shapes|shape|elements",
    "an LSTM of 20,000 layers": "LSTM|layers|tensors",
    "zeros as tensors": "unpack|larger|bytes",
    "spaces as a document": "unpack|larger|bytes",
    "zeros of 40 GB": "would take",
    "a range of 40 GB": "would take",
}


@pytest.fixture(scope="module")
def ends(tmp_path_factory, sound):
    """How reading each of the small files ended."""
    folder = tmp_path_factory.mktemp("small")
    paths = [folder / f"{index}.mj" for index in range(len(SMALL))]
    for path, make in zip(paths, SMALL.values(), strict=True):
        path.write_bytes(make(sound))
        assert path.stat().st_size < MEGABYTE
    command = [sys.executable, "-c", READ, *map(str, paths)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert len(lines) == len(SMALL), done.stderr
    return dict(zip(SMALL, lines, strict=True))


@pytest.mark.parametrize("name", SMALL)
def test_a_small_file_takes_little(ends, name):
    assert re.search(REASONS[name], ends[name]), ends[name]
