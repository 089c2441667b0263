"""What both tools are given, and that microjoule rounds on the grids of the other."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from benchmarks import aimet_run
from benchmarks.aimet_run import Task, by_aimet, by_microjoule, folded, grids, layer, main, without_torchvision


def entry(scale, offset=-8):
    return {"scale": scale, "offset": offset, "bitwidth": 4}


def written(place, **weights):
    (place / "aimet.encodings").write_text(json.dumps({"param_encodings": weights}))


def test_grids_are_read_with_one_scale_or_one_a_channel(tmp_path):
    written(tmp_path, **{"a.weight": [entry(0.5)], "b.weight": [entry(0.5), entry(0.25)]})
    found = grids(tmp_path)
    assert (found["a.weight"].scheme.axis, found["a.weight"].scale.tolist()) == (None, 0.5)
    assert (found["b.weight"].scheme.axis, found["b.weight"].scale.tolist()) == (0, [0.5, 0.25])
    assert (found["b.weight"].grid.qmin, found["b.weight"].grid.qmax) == (-8, 7)


def test_a_grid_that_is_not_symmetric_is_refused(tmp_path):
    written(tmp_path, **{"a.weight": [entry(0.5, offset=-3)]})
    with pytest.raises(ValueError, match=r"a\.weight: AIMET's grid is not symmetric"):
        grids(tmp_path)


def test_a_folded_copy_computes_the_same():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))
    for parameter in module[1].parameters():
        nn.init.uniform_(parameter, 0.5, 2)
    module[1].running_mean.uniform_(-1, 1)
    x = torch.rand(2, 3, 6, 6)
    found = folded(module.eval(), x)
    assert isinstance(found[1], nn.Identity)
    torch.testing.assert_close(found(x), module(x))


def test_the_layer_is_judged_by_its_share_of_the_variance():
    task = layer(Path())
    assert task.judge(task.module) == {"error": 0.0}
    assert task.judge(lambda x: task.module(x) + 1)["error"] > 0.1


@pytest.fixture
def small():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(2, 3, 3)).eval()
    inputs = torch.randn(8, 2, 6, 6)
    return Task(module, inputs, lambda rounded: {"sum": rounded(inputs).sum().item()})


def test_microjoule_rounds_on_the_given_grid_and_leaves_activations(small, tmp_path):
    written(tmp_path, **{"0.weight": [entry(0.125), entry(0.0625), entry(0.03125)]})
    rounded = by_microjoule(small, tmp_path)()
    steps = rounded.get_submodule("0").weight / torch.tensor([0.125, 0.0625, 0.03125])[:, None, None, None]
    torch.testing.assert_close(steps, steps.round())
    assert steps.unique().numel() > 4
    assert rounded(small.inputs).unique().numel() > 200, "outputs are not quantized"


def test_aimet_gets_the_images_and_its_result_is_rounded_to_its_grid(small, tmp_path, monkeypatch):
    asked = {}

    class Adaround:
        @staticmethod
        def apply_adaround(module, example, how, **options):
            asked.update(how=how, options=options, example=example)
            written(tmp_path, **{"0.weight": [entry(0.125)]})
            return module

    def parameters(images, count, **options):
        return SimpleNamespace(images=images, count=count, **options)

    package = SimpleNamespace(Adaround=Adaround, AdaroundParameters=parameters)
    monkeypatch.setitem(sys.modules, "aimet_torch.adaround.adaround_weight", package)
    monkeypatch.setattr(aimet_run, "without_torchvision", lambda: None)
    rounded = by_aimet(small, tmp_path)()
    steps = rounded[0].weight * 8
    assert torch.equal(steps, steps.round())
    assert (asked["how"].default_num_iterations, asked["how"].count) == (1000, 1)
    assert asked["options"] == {"path": str(tmp_path), "filename_prefix": "aimet", "default_param_bw": 4}
    assert torch.equal(asked["how"].forward_fn(small.module, small.inputs), small.module(small.inputs))


def test_names_of_torchvision_are_empty_classes(monkeypatch):
    for name in ("torchvision", "torchvision.datasets", "torchvision.transforms", "torchvision.ops"):
        monkeypatch.setitem(sys.modules, name, None)
    without_torchvision()
    made = sys.modules["torchvision"]
    assert isinstance(made.transforms.Resize, type)
    assert sys.modules["torchvision.ops"].nms is made.ops.nms
    with pytest.raises(AttributeError):
        made.__version__  # noqa: B018


def test_the_process_writes_what_it_took(small, tmp_path, monkeypatch):
    written(tmp_path, **{"0.weight": [entry(0.125)]})
    monkeypatch.setitem(aimet_run.TASKS, "layer", lambda data: small)
    monkeypatch.setattr(
        sys, "argv", ["aimet_run", "microjoule", "layer", "--data", str(tmp_path), "--folder", str(tmp_path)]
    )
    main()
    found = json.loads((tmp_path / "microjoule-layer.json").read_text())
    assert found["seconds"] > 0
    assert 0 <= found["above_bytes"] < found["peak_bytes"]
    assert "sum" in found
