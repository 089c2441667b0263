"""What is captured is counted, what is not is named, and a timm that does not import leaves the figures out."""

import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from benchmarks import timm_models
from benchmarks.timm_models import Capture, figures, installed
from microjoule.errors import CaptureError


def model(*layers: nn.Module) -> nn.Module:
    """A model as timm makes them."""
    made = nn.Sequential(*layers)
    made.pretrained_cfg = {"input_size": (3, 8, 8)}
    return made


class Refused(nn.Module):
    """A model whose control flow depends on values."""

    def forward(self, x):
        return x + 1 if x.sum() > 0 else x


@pytest.fixture
def timm(monkeypatch):
    """A package of two models, of which the first is captured and the second is not."""
    made = {"plain": lambda: model(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), "refused": lambda: model(Refused())}
    package = SimpleNamespace(__version__="9.9", create_model=lambda name, pretrained: made[name]())
    monkeypatch.setitem(sys.modules, "timm", package)
    monkeypatch.setattr(timm_models, "MODELS", ("plain", "refused"))
    return package


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ImportError("No module named 'torchvision'"), "No module named 'torchvision'"),
        (RuntimeError("operator torchvision::nms does not exist\nmore"), "operator torchvision::nms does not exist"),
        (OSError(), "OSError"),
    ],
    ids=["missing", "another torch", "no library"],
)
def test_a_timm_that_does_not_import_leaves_the_figures_out_in_one_line(monkeypatch, capsys, error, reason):
    def refuse(name):
        raise error

    monkeypatch.setattr(timm_models.importlib, "import_module", refuse)
    assert list(figures()) == []
    assert capsys.readouterr().err == f"timm models are left out: timm does not import ({reason})\n"


def test_a_timm_that_imports_is_used_without_a_word(timm, capsys):
    assert installed() is timm
    assert capsys.readouterr().err == ""


def test_the_share_counts_what_is_captured_and_names_what_is_not(timm):
    share, difference = figures()
    assert (share.value, share.state) == (0.5, "missed")
    assert share.compared_with.startswith("1 of 2 of timm 9.9, untrained")
    assert "refused: " in share.compared_with
    assert "torch.export cannot trace it" in share.compared_with
    assert (difference.value, difference.state, difference.compared_with) == (0.0, "met", "bit by bit the same")


def test_the_worst_model_and_the_replaced_operators_are_named(timm, monkeypatch):
    found = {"plain": Capture("plain"), "refused": Capture("refused", difference=1e-5, replaced=("aten.a", "aten.b"))}
    monkeypatch.setattr(timm_models, "captured", lambda package, name: found[name])
    share, difference = figures()
    assert share.state == "met"
    assert (difference.value, difference.state) == (1e-5, "missed")
    assert difference.compared_with == "the largest output; the worst is refused; aten.a replaced; aten.b replaced"


def test_without_any_captured_model_there_is_no_difference(timm, monkeypatch):
    monkeypatch.setattr(timm_models, "MODELS", ("refused",))
    (share,) = figures()
    assert share.value == 0.0


def test_a_network_of_other_keys_is_not_captured(timm, monkeypatch):
    record = SimpleNamespace(largest_difference=0.0, replaced=())
    other = SimpleNamespace(module=nn.Conv2d(3, 4, 3), history=[record])
    monkeypatch.setattr(timm_models.mj, "capture", lambda module, x: other)
    assert timm_models.captured(timm, "plain").reason == "the state dict has other keys"


def test_the_weights_are_the_same_in_every_run_and_the_callers_random_numbers_are_left_alone(timm, monkeypatch):
    seen = []

    def look(module, x):
        seen.append((module[0].weight.detach().clone(), x))
        raise CaptureError("here", "seen", remedy="none")

    monkeypatch.setattr(timm_models.mj, "capture", look)
    state = torch.get_rng_state()
    reasons = {timm_models.captured(timm, "plain").reason for _ in range(2)}
    assert reasons == {"here: seen"}
    assert torch.equal(torch.get_rng_state(), state)
    (first, x), (second, again) = seen
    assert torch.equal(first, second)
    assert torch.equal(x, again)
    assert tuple(x.shape) == (1, 3, 8, 8)
