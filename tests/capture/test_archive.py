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

from microjoule.capture.archive import check_archive, is_arithmetic
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


def test_an_ordinary_program_passes(program):
    check_archive(program)


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
    check_archive(tmp_path / "m.pt2")


def test_pickled_example_inputs_are_refused_and_not_run(program, tmp_path):
    trap = pickle.dumps(Trap(tmp_path / "sprung"))
    path = rewritten(program, lambda name, content: trap if name.endswith("sample_inputs/model.pt") else content)
    with pytest.raises(FileError, match="example inputs that are more than tensors"):
        load(path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "member", ["model/data/weights/model.pt", "model/data/constants/opaque_obj_0", "model/data/aotinductor/model/x.so"]
)
def test_members_that_may_be_code_are_refused(program, tmp_path, member):
    path = added(program, member, pickle.dumps(Trap(tmp_path / "sprung")))
    with pytest.raises(FileError, match="which may be code"):
        load(path)
    assert not (tmp_path / "sprung").exists()


def test_weights_that_are_marked_as_pickled_are_refused(program):
    path = rewritten(program, lambda name, content: content.replace(b'"use_pickle": false', b'"use_pickle": true'))
    with pytest.raises(FileError, match="a pickled tensor 'weight_0'"):
        load(path)


def test_an_expression_that_is_more_than_arithmetic_is_refused(program, tmp_path):
    def change(document):
        sizes = document["graph_module"]["graph"]["tensor_values"]["input"]["sizes"]
        sizes[0]["as_expr"]["expr_str"] = f"__import__('os').mkdir({str(tmp_path / 'sprung')!r})"

    with pytest.raises(FileError, match="which is no arithmetic"):
        load(in_model(program, change))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "target",
    [
        "torch.hub.load",
        "torch.ops.aten.from_file.default",
        "torch.ops.mine.op.default",
        "_operator.attrgetter",
        "math.sin",
    ],
)
def test_operators_that_could_reach_outside_are_refused(program, target):
    def change(document):
        document["graph_module"]["graph"]["nodes"][0]["target"] = target

    with pytest.raises(FileError, match=f"an operator '{target}'"):
        load(in_model(program, change))


def test_an_enumeration_is_refused(program):
    with pytest.raises(FileError, match="would import its module"):
        load(in_model(program, lambda document: document.update(more={"__enum__": True})))


@pytest.mark.parametrize(
    "text",
    [
        "Symbol('s31', positive=True, integer=True)",
        "2*s0 + 1",
        "FloorDiv(s0, 2)",
        "Max(1, s0 - 3)",
        "s0 >= 2",
        "7",
        "-oo",
        "Mod(s0, 8)",
    ],
)
def test_sizes_are_arithmetic(text):
    assert is_arithmetic(text)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "s0.__class__",
        "(lambda: 1)()",
        "[1][0]",
        "open('x')",
        "Symbol('__import__')",
        "Symbol(x)",
        "eval(s0)",
        "'a'",
        "f'{s0}'",
    ],
)
def test_anything_else_is_not(text):
    assert not is_arithmetic(text)


def test_an_expression_that_cannot_be_parsed_is_refused(program):
    def change(document):
        document["graph_module"]["graph"]["tensor_values"]["input"]["sizes"][0]["as_expr"]["expr_str"] = "s0 +"

    with pytest.raises(FileError, match=r"is no whole \.pt2 file"):
        load(in_model(program, change))
