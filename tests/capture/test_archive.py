import inspect
import json
import os
import pickle
import zipfile

import pytest
import torch
from torch import nn
from torch.export import Dim
from torch.utils import _pytree as pytree

from microjoule.capture.archive import read_program
from microjoule.capture.load import load
from microjoule.errors import FileError
from tests.capture.models import MODELS, images


class Trap:
    """Unpickling it makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def program(tmp_path):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 2)).eval()
    made = torch.export.export(module, (images(2, 3, 4, 4),), dynamic_shapes=({0: Dim.AUTO},))
    torch.export.save(made, tmp_path / "model.pt2")
    return tmp_path / "model.pt2"


def rewritten(path, change):
    """The same archive, with each member as `change(name, content)` gives it; None leaves it out."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(name, change(name, content))
    return path


def in_model(path, change):
    """The same archive, with its program as `change(document)` leaves it."""

    def edit(name, content):
        if not name.endswith("models/model.json"):
            return content
        document = json.loads(content)
        change(document)
        return json.dumps(document)

    return rewritten(path, edit)


def added(path, name, content):
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, content)
    return path


def test_the_program_is_that_which_was_saved(program):
    made, (args, kwargs) = read_program(program)
    assert torch.equal(args[0], images(2, 3, 4, 4))
    assert kwargs == {}
    original = torch.export.load(program)
    assert torch.equal(made.module()(args[0]), original.module()(args[0]))
    assert [str(node.target) for node in made.graph.nodes] == [str(node.target) for node in original.graph.nodes]
    assert str(made.range_constraints) == str(original.range_constraints)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported", "ignore:The tensor attributes")
def free(tensor):
    return {0: Dim.AUTO}


def bound(module, args):
    return inspect.signature(module.forward).bind(*args).arguments


@pytest.mark.filterwarnings("ignore:The tensor attributes self")
@pytest.mark.parametrize("name", MODELS)
def test_the_programs_of_all_models_pass(tmp_path, name):
    module, args = MODELS[name]
    shapes = {name: pytree.tree_map(free, value) for name, value in bound(module, args).items()}
    torch.export.save(torch.export.export(module.eval(), args, dynamic_shapes=shapes, strict=False), tmp_path / "m.pt2")
    made, (found, _) = read_program(tmp_path / "m.pt2")
    with torch.no_grad():
        outputs = made.module(check_guards=False)(*found), module(*args)
    for one, other in zip(*map(pytree.tree_leaves, outputs), strict=True):
        torch.testing.assert_close(one, other)


def test_torch_reads_nothing_of_the_file(program, monkeypatch):
    """Neither its archive nor its pickles."""

    def refuse(*_, **__):
        raise AssertionError("the file is given to torch")

    for name in ("torch.load", "torch._C.PyTorchFileReader", "pickle.load", "pickle.loads", "pickle.Unpickler"):
        monkeypatch.setattr(name, refuse)
    assert read_program(program)


def test_pickled_example_inputs_are_refused_and_not_run(program, tmp_path):
    trap = pickle.dumps(Trap(tmp_path / "sprung"))
    path = rewritten(program, lambda name, content: trap if name.endswith("sample_inputs/model.pt") else content)
    with pytest.raises(FileError, match="is damaged: it is no zip archive"):
        load(path)
    assert not (tmp_path / "sprung").exists()


def test_a_trap_among_example_inputs_is_refused_and_not_run(program, tmp_path):
    torch.save(((Trap(tmp_path / "sprung"),), {}), tmp_path / "inputs.pt")
    trap = (tmp_path / "inputs.pt").read_bytes()
    path = rewritten(program, lambda name, content: trap if name.endswith("sample_inputs/model.pt") else content)
    with pytest.raises(FileError, match=r"example inputs that are more than tensors.*posix\.mkdir"):
        load(path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("copies", [1, 30])
@pytest.mark.parametrize("order", ["before", "after"])
def test_a_member_that_is_there_twice_is_refused_and_not_run(program, tmp_path, copies, order):
    torch.save(Trap(tmp_path / "sprung"), tmp_path / "inputs.pt")
    trap = [("model/data/sample_inputs/model.pt", (tmp_path / "inputs.pt").read_bytes())] * copies
    with zipfile.ZipFile(program) as archive:
        sound = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(program, "w") as archive:
        for name, content in [*trap, *sound] if order == "before" else [*sound, *trap]:
            archive.writestr(name, content)
    with pytest.raises(FileError, match=r"it has 'model/data/sample_inputs/model.pt' twice"):
        load(program)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "member", ["model/data/weights/model.pt", "model/data/constants/opaque_obj_0", "model/data/aotinductor/model/x.so"]
)
def test_members_that_may_be_code_are_refused(program, tmp_path, member):
    path = added(program, member, pickle.dumps(Trap(tmp_path / "sprung")))
    with pytest.raises(FileError, match="which may be code"):
        load(path)
    assert not (tmp_path / "sprung").exists()


def test_two_archives_in_one_are_refused(program):
    with pytest.raises(FileError, match="holds 2 archives in one"):
        load(added(program, "other/version", b"1"))


@pytest.mark.parametrize(("member", "content"), [("archive_version", b"9"), ("byteorder", b"big")])
def test_another_version_or_machine_is_refused(program, member, content):
    path = rewritten(program, lambda name, old: content if name == f"model/{member}" else old)
    with pytest.raises(FileError, match="is of another version, or of a machine of another kind"):
        load(path)


def test_weights_that_are_marked_as_pickled_are_refused(program):
    path = rewritten(program, lambda name, content: content.replace(b'"use_pickle": false', b'"use_pickle": true'))
    with pytest.raises(FileError, match="a pickled tensor 'weight_0'"):
        load(path)


def test_what_a_document_holds_is_said(program, tmp_path):
    def change(document):
        sizes = document["graph_module"]["graph"]["tensor_values"]["input"]["sizes"]
        sizes[0]["as_expr"]["expr_str"] = f"__import__('os').mkdir({str(tmp_path / 'sprung')!r})"

    with pytest.raises(
        FileError, match=r"model\.pt2: holds a size .*, which is no arithmetic\n  export the model again"
    ):
        load(in_model(program, change))
    assert not (tmp_path / "sprung").exists()


def test_what_torch_does_not_take_is_said_in_a_line(program, capfd):
    def change(document):
        document["graph_module"]["graph"]["nodes"].pop(0)

    with pytest.raises(FileError, match=rf"cannot be read by torch {torch.__version__[:4]}.*: .+\n  export") as caught:
        load(in_model(program, change))
    assert len(str(caught.value)) < 700
    assert capfd.readouterr().err == ""
