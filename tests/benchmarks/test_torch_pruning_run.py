"""What torch-pruning is given, and what is told of it; the tool itself runs in the benchmark alone."""

import json
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import microjoule as mj
from benchmarks import torch_pruning_run
from benchmarks.alone import Images
from benchmarks.compression_cases import Case
from benchmarks.subjects import Subject
from benchmarks.torch_pruning_run import evaluation, kept_whole, main, norms_anew, pruned
from microjoule.zoo.resnet_cifar import CifarResNet


@pytest.fixture
def module():
    torch.manual_seed(0)
    layers = (
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 4, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    return nn.Sequential(*layers).eval()


@pytest.fixture
def images():
    return Images(torch.randn(40, 3, 8, 8), torch.randint(4, (40,)), 40)


@pytest.fixture
def tool(monkeypatch):
    """Stands for torch-pruning: each step leaves a tenth less."""
    asked = {}

    class Pruner:
        def __init__(self, module, example, importance, **settings):
            asked.update(module=module, importance=importance, **settings)
            asked["steps"] = 0

        def step(self):
            asked["steps"] += 1

    def count(module, example):
        return (1000 - 100 * asked.get("steps", 0), 0)

    importance = SimpleNamespace(GroupTaylorImportance=lambda: "taylor", GroupMagnitudeImportance=lambda p: f"L{p}")
    package = SimpleNamespace(
        importance=importance,
        pruner=SimpleNamespace(BasePruner=Pruner),
        utils=SimpleNamespace(count_ops_and_params=count),
    )
    monkeypatch.setitem(sys.modules, "torch_pruning", package)
    return asked


@pytest.mark.parametrize(("method", "importance"), [("L2 norm, global", "L2"), ("Taylor, global", "taylor")])
def test_channels_go_until_no_more_work_is_left_than_wanted(tool, module, images, method, importance):
    steps = []
    for found in pruned(module, images, method, (0.75, 0.5)):
        assert found is not module
        steps.append(tool["steps"])
    assert steps == [3, 5]
    assert (tool["importance"], tool["global_pruning"]) == (importance, True)
    assert (tool["module"][0].weight.grad is not None) == (importance == "taylor")
    assert module[0].weight.grad is None


def test_the_last_layer_stays_and_of_padded_sums_those_that_make_them(module):
    assert kept_whole(module) == [module[3]]
    network = CifarResNet(1)
    kept = {name for name, one in network.named_modules() if any(one is other for other in kept_whole(network))}
    assert kept == {"linear", "conv1", "layer1.0.conv2", "layer2.0.conv2", "layer3.0.conv2"}


def test_norms_measured_anew_are_those_of_the_images(module, images):
    found = norms_anew(module, images.inputs)
    values = module[0](images.inputs)
    torch.testing.assert_close(found[1].running_mean, values.mean((0, 2, 3)))
    assert not found[1].training
    assert module[1].running_mean.abs().max() == 0, "the module is as it was"
    assert norms_anew(nn.Sequential(nn.Conv2d(3, 2, 1)), images.inputs) is None


def test_the_process_writes_every_method_and_share(tool, module, images, tmp_path, monkeypatch):
    network = mj.capture(module, images.inputs[:2])
    subject = Subject(network, (images.inputs, images.labels), mj.zoo.metric("top1"), (0.0, 1.0), "small")
    given = Case(subject, images)
    monkeypatch.setattr(torch_pruning_run, "case", lambda name, data: given)
    monkeypatch.setattr(mj.zoo, "load", lambda name, data: module)
    monkeypatch.setattr(torch_pruning_run, "METHODS", {"L2 norm, global": True})
    place = tmp_path / "found.json"
    words = ["run", "resnet20_cifar10", "--shares", "0.5", "--data", str(tmp_path), "--result", str(place)]
    monkeypatch.setattr(sys, "argv", words)
    main()
    (found,) = json.loads(place.read_text())["outcomes"]
    assert (found["method"], found["share"], found["left"]) == ("L2 norm, global", 0.5, 1.0)
    same = ("value", "samples_id", "scores", "stage")
    told = evaluation(module, given, "L2 norm, global")
    assert {name: found["evaluated"][name] for name in same} == {name: told[name] for name in same}
    assert found["evaluated_norms"]["stage"] == "L2 norm, global, norms anew"
