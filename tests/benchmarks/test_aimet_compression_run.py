"""What AIMET is given, and what is told of it; the tool itself runs in the benchmark alone."""

import json
import sys
from decimal import Decimal
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import microjoule as mj
from benchmarks import aimet_compression_run
from benchmarks.aimet_compression_run import compressed, main, plain_norms, right_share
from benchmarks.alone import Images
from benchmarks.compression_cases import Case
from benchmarks.subjects import Subject


@pytest.fixture
def module():
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(*layers).eval()


@pytest.fixture
def images(module):
    x = torch.randn(60, 3, 8, 8)
    return Images(x, module(x).argmax(1), 53)


@pytest.fixture
def asked(monkeypatch):
    """Stands for AIMET, which gives the module back."""
    found = {}

    class Settings:
        Mode = SimpleNamespace(auto="auto")

        @staticmethod
        def AutoModeParams(greedy, modules_to_ignore):  # noqa: N802
            return greedy, modules_to_ignore

        def __init__(self, **how):
            found["how"] = how

    def compress_model(module, score, *rest):
        iterations, shape, scheme, cost, _ = rest
        found.update(score=score(module, iterations, False), shape=shape, scheme=scheme, cost=cost)
        return module, "statistics"

    common = SimpleNamespace(
        GreedySelectionParameters=lambda **how: how,
        CompressionScheme=SimpleNamespace(spatial_svd="svd", channel_pruning="pruning"),
        CostMetric=SimpleNamespace(mac="mac"),
    )
    settings = SimpleNamespace(SpatialSvdParameters=Settings, ChannelPruningParameters=Settings)
    packages = {
        "aimet_torch.compress": SimpleNamespace(ModelCompressor=SimpleNamespace(compress_model=compress_model)),
        "aimet_torch.defs": settings,
        "aimet_common.defs": common,
        "aimet_torch.model_preparer": SimpleNamespace(prepare_model=lambda module: module),
    }
    for name, package in packages.items():
        monkeypatch.setitem(sys.modules, name, package)
    return found


def test_candidates_are_scored_by_the_first_images(module, images):
    score = right_share(images)
    assert score(module, 0, False) == 1.0
    wrong = Images(images.inputs, torch.where(torch.arange(60) < 53, images.labels, 9), 53)
    assert right_share(wrong)(module, 0, False) == 1.0


@pytest.mark.parametrize("scheme", ["svd", "pruning"])
def test_aimet_gets_its_defaults(module, images, asked, scheme):
    first = module[0]
    compressed(module, images, scheme, 0.5)
    assert (asked["score"], asked["shape"], asked["scheme"], asked["cost"]) == (1.0, (1, 3, 8, 8), scheme, "mac")
    greedy, ignored = asked["how"]["params"]
    assert greedy == {"target_comp_ratio": Decimal("0.5"), "num_comp_ratio_candidates": 10}
    assert ignored == [first]
    assert asked["how"].get("num_reconstruction_samples") == (2000 if scheme == "pruning" else None)


def test_statistics_that_are_parameters_become_buffers(module, images):
    norm = module[1]
    norm.running_mean.uniform_(-1, 1)
    before, mean = module(images.inputs), norm.running_mean
    del norm.running_mean
    norm.running_mean = nn.Parameter(mean, requires_grad=False)
    found = plain_norms(module)
    assert "running_mean" in dict(found[1].named_buffers())
    torch.testing.assert_close(found(images.inputs), before)


def test_the_process_writes_what_is_left(module, images, asked, tmp_path, monkeypatch):
    network = mj.capture(module, images.inputs[:2])
    subject = Subject(network, (images.inputs, images.labels), mj.zoo.metric("top1"), (0.0, 1.0), "small")
    monkeypatch.setattr(aimet_compression_run, "case", lambda name, data: Case(subject, images))
    monkeypatch.setattr(aimet_compression_run, "without_torchvision", lambda: None)
    monkeypatch.setattr(mj.zoo, "load", lambda name, data: module)
    place = tmp_path / "found.json"
    words = ["run", "resnet20_cifar10", "svd", "0.5", "--data", str(tmp_path), "--result", str(place)]
    monkeypatch.setattr(sys, "argv", words)
    main()
    (found,) = json.loads(place.read_text())["outcomes"]
    assert (found["method"], found["left"], found["evaluated"]["value"]) == ("svd", 1.0, 100.0)
    assert (found["evaluated"]["stage"], found["evaluated_norms"]) == ("aimet-torch, svd", None)
