"""Running the command line as a person does: words in, exit code, standard output and standard error out."""

import json

import pytest
import torch

from microjoule.cli.app import main

MODEL = "zoo:digits_mobilenet_v2"


@pytest.fixture
def command(capsys):
    """Run a command line; gives (exit code, standard output, standard error)."""

    def run(*words):
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def clock(monkeypatch):
    """Weights in place of milliseconds; gives for each time that networks are timed whether in 8 bits."""
    integers = []

    def in_turns(networks, ranged=None):
        integers.append(ranged is not None)
        return [1.0 * sum(layer.stored_weight.numel() for layer in one.layers) for one in networks]

    monkeypatch.setattr("microjoule.recipes.latency_probes.in_turns", in_turns)
    return integers


@pytest.fixture
def document(command):
    """Run a command line with --json; gives the document."""

    def run(*words):
        code, out, err = command(*words, "--json")
        assert code == 0, err
        return json.loads(out)

    return run


@pytest.fixture
def program(tmp_path):
    """A file of torch.export.save, whose batch is fixed."""
    path = tmp_path / "model.pt2"
    torch.export.save(torch.export.export(torch.nn.Sequential(torch.nn.Linear(4, 3)), (torch.zeros(2, 4),)), path)
    return path


@pytest.fixture
def quantized(command, tmp_path):
    """The digits network with quantizers, saved."""
    path = tmp_path / "digits.mj"
    code, _, err = command("quantize", MODEL, "--target", "per-tensor", "--out", path)
    assert code == 0, err
    return path
