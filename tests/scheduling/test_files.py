import json

import pytest

from benchmarks.random_computations import random_computation
from microjoule.errors import FileError, GraphError
from microjoule.scheduling.computation import Computation, Operator, Value
from microjoule.scheduling.files import read_graph, write_graph

EVERY_FIELD = Computation(
    "Größe",
    (Value("x", 4, is_input=True), Value("y", 4), Value("z", 3, is_output=True)),
    (
        Operator("see", (0,), (1,), is_view=True, kind="concat"),
        Operator("take", (1,), (2,), inplace=1, workspace_bytes=7, kind="conv"),
    ),
)


def written(folder, content):
    path = folder / "graph.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize("given", [EVERY_FIELD, Computation("", (), ()), *map(random_computation, range(10))])
def test_what_was_written_is_read(given, tmp_path):
    path = tmp_path / "graph.json"
    assert write_graph(given, path) == path
    assert read_graph(path) == given
    assert read_graph(str(path)) == given


def test_names_and_marks_may_be_left_out(tmp_path):
    tensors = [{"size": 1, "is_input": True, "shape": [1]}, {"size": 2}]
    found = read_graph(written(tmp_path, {"tensors": tensors, "ops": [{"inputs": [0], "outputs": [1]}], "more": 1}))
    values = (Value("value 0", 1, is_input=True), Value("value 1", 2))
    assert found == Computation("graph", values, (Operator("operator 0", (0,), (1,)),))


def test_operators_in_any_order_are_sorted(tmp_path):
    tensors = [{"size": 1, "is_input": True}, {"size": 1}, {"size": 1}]
    ops = [{"name": "b", "inputs": [1], "outputs": [2]}, {"name": "a", "inputs": [0], "outputs": [1]}]
    found = read_graph(written(tmp_path, {"name": "ba", "tensors": tensors, "ops": ops}))
    assert [one.name for one in found.operators] == ["a", "b"]
    assert found.name == "ba"


# Refusal --------------------------------------------------------------------------------------------------------------


def graph(**operator):
    tensors = [{"size": 1, "is_input": True}, {"size": 1}]
    return {"tensors": tensors, "ops": [{"inputs": [0], "outputs": [1], **operator}]}


NO_JSON = {
    "an empty file": ("", "is not valid JSON: Expecting value"),
    "half a file": ('{"tensors": [', "is not valid JSON: Expecting value"),
    "too deep": ("[" * 100_000, "is nested more than 64 deep"),
    "a size of 1e400": ('{"tensors": [{"size": 1e400}], "ops": []}', "is not valid JSON: a number is inf"),
    "a size of 30 digits": ('{"tensors": [{"size": ' + "9" * 30 + "}]}", "a whole number has more than 64 bits"),
    "a size twice": ('{"tensors": [{"size": 1, "size": 2}]}', "an object names the same field twice"),
}
NO_GRAPH = {
    "a list": ([], r"\[\] is no object"),
    "a text": ('"tensors"', "'tensors' is no object"),
    "no tensors": ({"ops": []}, "lacks 'tensors'"),
    "no operators": ({"tensors": []}, "lacks 'ops'"),
    "tensors in an object": ({"tensors": {}, "ops": []}, "{} is no list"),
    "a tensor without a size": ({"tensors": [{}], "ops": []}, "lacks 'size'"),
    "tensors that are numbers": ({"tensors": [1], "ops": []}, "1 is no object"),
    "a size as a text": ({"tensors": [{"size": "12"}], "ops": []}, "value 0 has '12' where a whole number"),
    "a size that is true": ({"tensors": [{"size": True}], "ops": []}, "value 0 has True where a whole number"),
    "a size of a fraction": ({"tensors": [{"size": 1.5}], "ops": []}, "value 0 has 1.5 where a whole number"),
    "an input as a number": ({"tensors": [{"size": 1, "is_input": 1}], "ops": []}, "is_input is 1, which is neither"),
    "a name as a number": ({"tensors": [{"size": 1, "name": 1}], "ops": []}, "1 is no text"),
    "a graph's name as a list": ({"name": [], "tensors": [], "ops": []}, r"\[\] is no text"),
    "an operator without inputs": ({"tensors": [], "ops": [{"outputs": []}]}, "lacks 'inputs'"),
    "an operator without outputs": ({"tensors": [], "ops": [{"inputs": []}]}, "lacks 'outputs'"),
    "inputs as a number": (graph(inputs=0), "0 is no list"),
    "values by their names": (graph(inputs=["x"]), "operator 0 has 'x' where a whole number should be"),
    "values as text": (graph(outputs="1"), "'1' is no list"),
    "a value that is true": (graph(outputs=[True]), "operator 0 has True where a whole number should be"),
    "in place on true": (graph(inplace=True), "operator 0 has True where a whole number should be"),
    "in place on false": (graph(inplace=False), "operator 0 has False where a whole number should be"),
    "in place on a fraction": (graph(inplace=0.0), "operator 0 has 0.0 where a whole number should be"),
    "a workspace of nothing": (graph(workspace=None), "operator 0 has None where a whole number should be"),
    "a view as a text": (graph(view="no"), "view is 'no', which is neither true nor false"),
    "a kind as a number": (graph(kind=3), "3 is no text"),
}


@pytest.mark.parametrize(("content", "fact"), NO_JSON.values(), ids=NO_JSON)
def test_text_beyond_the_bounds_is_refused(content, fact, tmp_path):
    with pytest.raises(FileError, match=rf"graph\.json: .*{fact}.*\n  give a JSON file with `tensors`"):
        read_graph(written(tmp_path, content))


@pytest.mark.parametrize(("content", "fact"), NO_GRAPH.values(), ids=NO_GRAPH)
def test_a_file_of_something_else_is_refused(content, fact, tmp_path):
    with pytest.raises(FileError, match=rf"graph\.json: is no computation graph: {fact}") as caught:
        read_graph(written(tmp_path, content))
    assert caught.value.remedy.startswith("give a JSON file with `tensors` and `ops`")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(FileError, match=r"nowhere\.json: cannot be read: no such file or directory\n  check the path"):
        read_graph(tmp_path / "nowhere.json")


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "graph.json"
    path.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(FileError, match=r"is no text in UTF-8 .*\n  give a JSON file"):
        read_graph(path)


NO_COMPUTATION = {
    "a size": ({"tensors": [{"size": -1}], "ops": []}, "value 'value 0': has a size of -1 bytes"),
    "a workspace": (graph(workspace=-1), "operator 'operator 0': has a workspace of -1 bytes"),
    "an index": (graph(inputs=[2]), "graph: operator 0: names value 2 of 2"),
    "an index below 0": (graph(inputs=[-1]), "graph: operator 0: names value -1 of 2"),
    "a place": (graph(inplace=1), "is in place on value 1"),
    "a circle": (graph(inputs=[1]), "operator 0 -> operator 0: need each other in a circle"),
    "a value of nobody": ({"tensors": [{"size": 1}], "ops": []}, "graph: value 0: is neither an input nor written"),
}


@pytest.mark.parametrize(("content", "message"), NO_COMPUTATION.values(), ids=NO_COMPUTATION)
def test_a_graph_that_cannot_be_is_refused(content, message, tmp_path):
    with pytest.raises(GraphError, match=message):
        read_graph(written(tmp_path, content))


def test_a_file_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(FileError, match="cannot be written"):
        write_graph(EVERY_FIELD, tmp_path / "nowhere" / "graph.json")


def test_what_cannot_be_written_leaves_the_old_file(tmp_path):
    path = tmp_path / "graph.json"
    write_graph(EVERY_FIELD, path)
    before = path.read_text()
    odd = Computation("odd", (Value(object(), 1, is_input=True),), ())
    with pytest.raises(TypeError):
        write_graph(odd, path)
    assert path.read_text() == before
