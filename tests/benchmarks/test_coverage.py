"""What is told of models is what was found of them; a model that was tried is not tried again."""

import json
from pathlib import Path

import pytest

from benchmarks import coverage
from benchmarks.coverage import REASONS, overloads, told, tried
from benchmarks.coverage_models import names
from benchmarks.coverage_run import feed, sqnr_db, worst
from microjoule.deploy.integer_share import REASONS as PRODUCT_REASONS
from microjoule.errors import FileError

torch = pytest.importorskip("torch")

DONE = {
    "name": "timm/a",
    "library": "timm",
    "step": "done",
    "passed": True,
    "capture_db": 120.0,
    "integer_share": 1.0,
    "ort_integer_share": 0.5,
    "floating": [],
    "deployed_db": 30.0,
    "ort_db": 28.0,
    "overloads": ["aten.relu.default", "<built-in function getitem>"],
}
LEFT = {
    "name": "timm/b",
    "library": "timm",
    "step": "done",
    "passed": True,
    "capture_db": 120.0,
    "integer_share": 0.9,
    "ort_integer_share": 0.95,
    "deployed_db": 20.0,
    "ort_db": 28.0,
    "floating": [["conv", "Conv", 10, "its weight is not quantized"]],
}
UNSAID = {**LEFT, "name": "timm/c", "ort_integer_share": 0.0, "floating": [["fc", "MatMul", 10, "who knows"]]}
REFUSED = {"name": "smp/d", "library": "smp", "step": "capture", "error": "CaptureError x: no", "refused": True}
BROKEN = {
    "name": "smp/e",
    "library": "smp",
    "step": "export",
    "capture_db": 120.0,
    "error": "KeyError",
    "refused": False,
}
OTHER = {"name": "smp/f", "library": "smp", "step": "quantize", "capture_db": 20.0, "error": "x", "refused": True}


def values(found):
    return {figure.name: figure for figure in told(found)}


def test_models_that_went_through_are_counted():
    found = values([DONE, REFUSED, BROKEN, OTHER])
    assert (found["models tried"].value, found["models tried"].compared_with) == (4, "1 of timm, 3 of smp")
    assert found["captured"].value == 0.5
    assert found["captured"].compared_with == "2 of 4; not: smp/d (CaptureError x: no); smp/f (x)"
    assert found["from end to end, verified"].value == 0.25
    assert found["captured as something else, without a word"].compared_with == "smp/f"
    assert found["ended in another error than a refusal"].compared_with == "smp/e"


def test_what_stays_in_floating_point_is_told_with_its_reason():
    found = values([DONE, LEFT, UNSAID])
    assert found["multiply-accumulates in integers, median"].value == 0.9
    assert found["fewer integer MACs than ONNX Runtime's own tool, of 3"].compared_with == "timm/b"
    assert found["MACs in floating point without one of the written reasons"].compared_with == "timm/c"
    assert found["nearer to FP32 than ONNX Runtime's own tool, median"].value == -8.0
    assert found["ultralytics/yolov8n, Conv in floating point"].state == "missed"  # it was not tried


def test_the_written_reasons_are_those_of_the_product():
    assert len(REASONS) == len(PRODUCT_REASONS)


def test_overloads_are_those_of_torch():
    assert overloads([DONE, REFUSED]) == ["relu.default"]


def test_at_least_sixty_models_of_the_libraries_are_there():
    found = names()
    assert len(found) >= 60
    counts = {library: sum(name.startswith(f"{library}/") for name in found) for library in ("timm", "transformers")}
    assert counts["timm"] >= 25
    assert counts["transformers"] >= 10
    assert sum(name.startswith(("ultralytics/", "segmentation_models_pytorch/")) for name in found) >= 10


def test_each_model_is_tried_once_and_a_broken_process_is_told(monkeypatch, tmp_path):
    asked = []

    def run(_python, _module, words, result, *, place, variables):
        asked.append(place)
        if place == "timm/bad":
            raise FileError(place, "did not come to its end: killed", remedy="run it alone")
        result.write_text(json.dumps(DONE))
        return dict(DONE)

    monkeypatch.setattr(coverage, "run_module", run)
    first = tried(Path("python"), ["timm/a", "timm/bad"], tmp_path)
    assert first[0] == DONE
    assert first[1] == {
        "name": "timm/bad",
        "library": "timm",
        "step": "process",
        "error": "did not come to its end: killed",
    }
    assert tried(Path("python"), ["timm/a", "timm/bad"], tmp_path) == first
    assert sorted(asked) == ["timm/a", "timm/bad"]


def test_the_worst_output_counts():
    one, two = torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.5])
    assert sqnr_db(one, one) == 200.0
    assert sqnr_db(one, two) == pytest.approx(20.0)
    assert worst([one, one], [one, two]) == pytest.approx(20.0)
    assert worst([one], [one[:1]]) == -200.0


def test_inputs_have_the_names_of_the_file_or_their_order():
    x, y = torch.zeros(1), torch.ones(1)
    assert list(feed(["b", "a"], {"a": x, "b": y})) == ["b", "a"]
    assert feed(["b", "a"], {"a": x, "b": y})["a"][0] == 0
    assert feed(["p", "q"], {"a": x, "b": y})["q"][0] == 1
    assert feed(["p"], (x,))["p"][0] == 0
