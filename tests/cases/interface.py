"""The public interface in the words of today, for the cases: a renaming changes this file and no case."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

import microjoule as mj
from microjoule import scheduling
from microjoule.cli.app import main as command_line
from microjoule.costs.energy import energy_table
from microjoule.errors import InputRangeWarning
from microjoule.errors import MicrojouleError as Refusal

__all__ = [
    "Function",
    "InputRangeWarning",
    "Refusal",
    "adaround",
    "auto",
    "bayesian_prune",
    "capture",
    "command_line",
    "compare",
    "compress",
    "compression_sensitivity",
    "data_free",
    "energy",
    "evaluate",
    "export",
    "gptq",
    "in_onnx_runtime",
    "integer_runner",
    "kept_files",
    "load",
    "load_encodings",
    "metric",
    "mixed_precision",
    "model_card",
    "naive",
    "qdrop",
    "reach",
    "read_graph",
    "sensitivity",
    "sqnr_db",
    "target",
    "target_text",
    "train",
    "unfreeze",
    "verify",
    "version_facts",
]

capture = mj.capture
model_card = mj.ModelCard
load = mj.load
export = mj.export
verify = mj.verify
evaluate = mj.evaluate
compare = mj.compare
reach = mj.reach
train = mj.train
target = mj.target
energy = energy_table
read_graph = scheduling.read_graph
load_encodings = mj.load_encodings
integer_runner = mj.IntegerRunner
naive = mj.recipes.naive
data_free = mj.recipes.data_free
gptq = mj.recipes.gptq
adaround = mj.recipes.adaround
qdrop = mj.recipes.qdrop
mixed_precision = mj.recipes.mixed_precision
auto = mj.reach
compress = mj.compress
compression_sensitivity = mj.compression_sensitivity
sensitivity = mj.sensitivity
bayesian_prune = mj.bayesian_prune
unfreeze = mj.unfreeze
metric = mj.zoo.metric

version_facts = "microjoule.jobs.identity.versions"
"""Where what a run folder knows of versions comes from."""


def kept_files(folder: Path) -> list[Path]:
    """The files of finished parts in a run folder."""
    return sorted(path for path in folder.rglob("*") if path.suffix in {".safetensors", ".mj"})


class Function(nn.Module):
    """A model that is a function of itself and its inputs, with the modules that it calls."""

    def __init__(self, function: Any, **parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *inputs: Any) -> Any:
        return self.function(self, *inputs)


def sqnr_db(reference: Tensor, value: Tensor) -> float:
    """The power of a reference over that of the difference; infinite for equal tensors."""
    reference, value = reference.detach().double(), value.detach().double()
    noise = float((reference - value).square().mean())
    return 10 * math.log10(float(reference.square().mean()) / noise) if noise else math.inf


def in_onnx_runtime(path: str | Path, *inputs: Tensor) -> list[Tensor]:
    """What ONNX Runtime gives for a file, each output as a tensor."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feed = {entry.name: x.numpy() for entry, x in zip(session.get_inputs(), inputs, strict=True)}
    return [torch.from_numpy(np.asarray(output)) for output in session.run(None, feed)]


def target_text(name: str) -> str:
    """The text of a target that the package holds."""
    return (Path(mj.__file__).parent / "costs" / "targets" / f"{name}.toml").read_text("utf-8")
