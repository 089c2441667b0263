import copy
import json
import zipfile

import pytest
import torch
from torch import nn
from torch.export import Dim

from microjoule.capture.program_document import sound_document
from microjoule.errors import FileError


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(16, 2)).eval()
    made = torch.export.export(module, (torch.rand(2, 3, 4, 4),), dynamic_shapes=({0: Dim.AUTO},))
    torch.export.save(made, path := tmp_path_factory.mktemp("p") / "p.pt2")
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read(next(name for name in archive.namelist() if name.endswith("models/model.json"))))


@pytest.fixture
def document(original):
    return copy.deepcopy(original)


def graph(document):
    return document["graph_module"]["graph"]


def test_the_graph_stays_and_what_could_run_goes(document):
    found = sound_document(document)
    assert [node["target"] for node in graph(found)["nodes"]] == [node["target"] for node in graph(document)["nodes"]]
    assert graph(found)["inputs"] == graph(document)["inputs"]
    assert found["range_constraints"] == document["range_constraints"]
    assert found["guards_code"] == []
    assert all(set(node["metadata"]) <= {"nn_module_stack"} for node in graph(found)["nodes"])
    assert "stack_trace" in graph(document)["nodes"][0]["metadata"]


def test_written_anew_twice_is_written_anew_once(document):
    once = sound_document(document)
    assert sound_document(json.loads(json.dumps(once))) == once


CODE = "__import__('os').mkdir('sprung')"


def rename(document, before, after):
    """A value gets another name everywhere."""
    text = json.dumps(document).replace(json.dumps(before), json.dumps(after))
    document.clear()
    document.update(json.loads(text))


def first(document):
    return graph(document)["nodes"][0]


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        (
            lambda d: first(d).update(target="torch.hub.load"),
            "an operator 'torch.hub.load', which is not one of ATen's",
        ),
        (lambda d: first(d).update(target="torch.ops.aten.from_file.default"), "an operator"),
        (lambda d: first(d).update(target="torch.ops.mine.op.default"), "an operator"),
        (lambda d: first(d).update(target="torch.ops.aten.relu"), "an operator"),
        (lambda d: first(d).update(target="_operator.attrgetter"), "an operator"),
        (lambda d: first(d).update(target="math.sin"), "an operator"),
        (lambda d: first(d).update(target=3), "an operator"),
        (lambda d: first(d)["inputs"][0].update(arg={"as_graph": {"name": "g", "graph": {}}}), "a value 'as_graph'"),
        (lambda d: first(d)["inputs"][0].update(arg={"as_custom_obj": {}}), "a value 'as_custom_obj'"),
        (lambda d: first(d)["inputs"][0].update(arg={"as_operator": "torch.hub.load"}), "a value 'as_operator'"),
        (lambda d: first(d)["inputs"][0].update(arg={}), "not said to be anything"),
        (lambda d: first(d)["inputs"][0].update(arg={"as_ints": 3}), "which is no list"),
        (lambda d: first(d)["inputs"][0].update(arg={"as_int": True}), "which is no whole number"),
        (lambda d: first(d)["inputs"][0].update(arg={"as_int": 10**30}), "which is no whole number"),
        (lambda d: first(d)["inputs"][0].update(arg={"as_float": "1"}), "which is no number"),
        (lambda d: first(d)["inputs"][0].update(arg={"as_device": {"type": "meta"}}), "which is none of cpu"),
        (lambda d: first(d)["inputs"][0].update(name="a b"), "is no name"),
        (lambda d: first(d).update(name=CODE), "is no name"),
        (lambda d: first(d)["metadata"].update(nn_module_stack='a,x"); y,b'), "a node in no modules"),
        (lambda d: rename(d, "input", CODE), "is no name"),
        (lambda d: rename(d, "conv2d", "class"), "is no name"),
        (
            lambda d: graph(d).update(custom_obj_values={"x": {"name": "x", "class_fqn": "y"}}),
            "objects that are no tensors",
        ),
        (
            lambda d: graph(d)["tensor_values"]["input"]["sizes"].append({"as_expr": {"expr_str": CODE}}),
            "no arithmetic",
        ),
        (lambda d: graph(d)["tensor_values"]["input"].update(requires_grad=1), "neither true nor false"),
        (lambda d: d["range_constraints"].update({CODE: {"min_val": 0, "max_val": 1}}), "which is no symbol"),
        (lambda d: d["range_constraints"].update(u99999999999={"min_val": 0, "max_val": 1}), "which is no symbol"),
        (lambda d: d.update(verifiers=["__main__"]), "which is none of ATEN"),
        (lambda d: d.update(guards_code=[CODE]), None),
        (lambda d: d.update(schema_version={"major": "x", "minor": 1}), "which is no whole number"),
        (lambda d: d.update(opset_version={CODE: 1}), "is no name"),
        (lambda d: d["graph_module"].update(module_call_graph=[]), "no way to be called"),
        (lambda d: d["graph_module"]["signature"].update(input_specs=[{"token": {}}]), "a value 'token'"),
        (
            lambda d: d["graph_module"]["signature"].update(output_specs=[{"gradient_to_parameter": {}}]),
            "a value 'gradient",
        ),
        (
            lambda d: d["graph_module"]["signature"]["input_specs"][0]["parameter"].update(parameter_name='a"b'),
            "no path",
        ),
        (lambda d: d.pop("graph_module"), "graph_module"),
    ],
)
def test_what_could_run_or_is_not_known_is_refused(document, change, fact):
    change(document)
    if fact is None:
        assert sound_document(document)["guards_code"] == []
        return
    with pytest.raises((ValueError, LookupError, TypeError, FileError), match=fact):
        sound_document(document)


def call(document):
    return document["graph_module"]["module_call_graph"][0]["signature"]


LEAF = {"type": None, "context": None, "children_spec": []}


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ({"forward_arg_names": [CODE]}, "is no name"),
        ({"forward_arg_names": ["a", "b"]}, "2 names for 1 inputs"),
        ({"in_spec": json.dumps([1, LEAF])}, "inputs that are no tuple and dict"),
        (
            {"out_spec": json.dumps([1, {"type": "x", "context": "{}", "children_spec": [LEAF]}])},
            "dict_context|no keys",
        ),
    ],
)
def test_ways_to_be_called_that_are_code_are_refused(document, change, fact):
    call(document).update(change)
    with pytest.raises((ValueError, LookupError), match=fact):
        sound_document(document)


def test_structures_import_nothing(document):
    context = {"default_factory_module": "this", "default_factory_name": "s", "dict_context": ["a"]}
    kind = {"type": "collections.defaultdict", "context": context, "children_spec": [LEAF]}
    call(document)["out_spec"] = json.dumps([1, kind])
    assert "this" not in json.dumps(call(sound_document(document)))
