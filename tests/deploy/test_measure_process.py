import io
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from microjoule.deploy import measure_process
from microjoule.deploy.onnx_file import export
from tests.deploy.networks import small


@pytest.fixture
def talk(monkeypatch, capsys):
    def answers(*orders):
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(json.dumps(order) + "\n" for order in orders)))
        measure_process.main()
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return answers


def test_it_answers_line_by_line(talk, tmp_path):
    export(small("conv")[0], tmp_path / "x.onnx")
    start = {"path": str(tmp_path / "x.onnx"), "threads": 1, "batch": 3}
    ready, times, end = talk(start, {"runs": 4}, {"stop": True})
    assert ready == {"ready": True}
    assert len(times["milliseconds"]) == 4
    assert min(times["milliseconds"]) > 0
    assert end["peak_bytes"] > 2**20


def test_it_says_what_is_wrong_with_a_file(talk, tmp_path):
    (answer,) = talk({"path": str(tmp_path / "none.onnx"), "threads": 1, "batch": 1})
    assert "none.onnx" in answer["error"]


def entry(kind, shape):
    return SimpleNamespace(type=kind, shape=shape)


def test_inputs_have_the_type_and_shape_that_the_file_asks_for():
    generator = np.random.default_rng(0)
    found = measure_process.values(entry("tensor(float)", ["batch", 3, "width"]), 4, generator)
    assert (found.shape, found.dtype) == ((4, 3, 1), np.float32)
    whole = measure_process.values(entry("tensor(int64)", [2, 3]), 1, generator)
    assert (whole.shape, whole.dtype, whole.any()) == ((2, 3), np.int64, np.False_)


def test_a_fixed_batch_stays():
    with pytest.raises(ValueError, match="fixed at 2, got batch=4"):
        measure_process.values(entry("tensor(float)", [2, 3]), 4, np.random.default_rng(0))
