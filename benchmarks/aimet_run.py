"""AdaRound by one tool on one task, in a process of its own: what it takes and what comes of it.

AIMET goes first: its grids are written to the folder, and microjoule rounds on the same.
"""

import argparse
import copy
import importlib
import json
import resource
import sys
import time
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

import microjoule as mj
from benchmarks.subjects import folder
from microjoule.numerics.affine import Affine, fake_quantize
from microjoule.numerics.grid import IntGrid, Scheme

BITS, ITERATIONS, BATCH = 4, 1000, 32
RESNET20, IMAGES = "resnet20_cifar10", 512
GRIDS = "aimet"


@dataclass(frozen=True, slots=True)
class Task:
    """What both tools get.

    Args:
        module: with batch norms folded.
        inputs: (n, ...), to fit to.
        judge: a module with rounded weights -> the outcome, which is compared.
    """

    module: nn.Module
    inputs: Tensor
    judge: Callable[[nn.Module], dict[str, Any]]


# Tasks ----------------------------------------------------------------------------------------------------------------


def layer(_data: Path) -> Task:
    """One convolution of 64x64x3x3 that reads what a convolution and ReLU make of noise; judged on other noise."""
    torch.manual_seed(0)
    before, module = nn.Conv2d(64, 64, 3, padding=1), nn.Sequential(nn.Conv2d(64, 64, 3, padding=1))
    with torch.no_grad():
        fitted, others = (before(torch.randn(BATCH, 64, 32, 32)).relu() for _ in range(2))
        exact = module(others)

    def judge(rounded: nn.Module) -> dict[str, Any]:
        with torch.no_grad():
            lost = (rounded(others) - exact).square().mean() / exact.var()
        return {"error": lost.item()}

    return Task(module.eval(), fitted, judge)


def network(data: Path) -> Task:
    """ResNet-20; judged by which of the test images it recognizes."""
    source = folder(data, "cifar10_jpeg")
    train = mj.zoo.dataset(source + "/train", model=RESNET20, data=data, limit=IMAGES)
    test = mj.zoo.dataset(source + "/test", model=RESNET20, data=data)
    inputs = torch.stack([train[index][0] for index in range(IMAGES)])

    def judge(rounded: nn.Module) -> dict[str, Any]:
        right: list[bool] = []
        with torch.no_grad():
            for images, labels in DataLoader(test, batch_size=100):
                right += (rounded(images).argmax(1) == labels).tolist()
        return {"right": right}

    return Task(folded(mj.zoo.load(RESNET20, data=data).eval(), inputs[:2]), inputs, judge)


TASKS: dict[str, Callable[[Path], Task]] = {"layer": layer, "network": network}


def folded(module: nn.Module, example: Tensor) -> nn.Module:
    """A copy whose batch norms are in the layers before them.

    Args:
        module: to copy.
        example: (n, ...), inputs.
    """
    captured, plain = mj.capture(module, example), copy.deepcopy(module)
    mj.fold_batch_norms(captured)
    for one in captured.layers:
        owner: Any = plain.get_submodule(one.path)
        owner.weight = nn.Parameter(one.stored_weight.detach())
        owner.bias = None if one.bias is None else nn.Parameter(one.bias.detach())
    for path, child in list(plain.named_modules()):
        if isinstance(child, nn.BatchNorm2d):
            plain.set_submodule(path, nn.Identity())
    return plain


# Tools ----------------------------------------------------------------------------------------------------------------


def by_aimet(task: Task, place: Path) -> Callable[[], nn.Module]:
    """What is timed: AIMET's AdaRound, its settings but for the number of iterations as they come."""
    without_torchvision()
    aimet: Any = importlib.import_module("aimet_torch.adaround.adaround_weight")

    def forward(module: nn.Module, inputs: Tensor) -> Any:
        return module(inputs)

    images: DataLoader[Tensor] = DataLoader(list(task.inputs), batch_size=BATCH)  # type: ignore[arg-type]
    how = aimet.AdaroundParameters(images, len(images), default_num_iterations=ITERATIONS, forward_fn=forward)

    def fit() -> nn.Module:
        where = {"path": str(place), "filename_prefix": GRIDS}
        found: nn.Module = aimet.Adaround.apply_adaround(
            task.module, task.inputs[:1], how, **where, default_param_bw=BITS
        )
        with torch.no_grad():
            for path, affine in grids(place).items():  # what it returns is not rounded all the way
                weight = found.get_parameter(path)
                weight.copy_(fake_quantize(weight, affine))
        return found

    return fit


def by_microjoule(task: Task, place: Path) -> Callable[[], nn.Module]:
    """What is timed: `mj.adaround` on AIMET's grids, activations in floating point."""
    captured = mj.capture(task.module, task.inputs[:2])
    mj.quantize(captured, weights=BITS)
    for quantizer in captured.quantizers.values():
        quantizer.enabled = False
    wanted = grids(place)
    for one in captured.layers:
        assert one.quantizer is not None
        one.quantizer.set_affine(wanted[f"{one.path}.weight"])

    def fit() -> nn.Module:
        mj.adaround(captured, task.inputs, iterations=ITERATIONS, activation=False)
        return captured.module

    return fit


TOOLS = {"aimet": by_aimet, "microjoule": by_microjoule}


def grids(place: Path) -> dict[str, Affine]:
    """The grid of each weight from AIMET's file: symmetric, with a scale for each output channel, or with one."""
    found = {}
    for path, entries in json.loads((place / f"{GRIDS}.encodings").read_text())["param_encodings"].items():
        scale = torch.tensor([one["scale"] for one in entries]).squeeze()
        scheme = Scheme(IntGrid(BITS), symmetric=True, axis=0 if scale.dim() else None)
        found[path] = Affine(scheme, scale, torch.zeros_like(scale, dtype=torch.int32))
        if any(one["offset"] != scheme.grid.qmin for one in entries):
            raise ValueError(f"{path}: AIMET's grid is not symmetric")
    return found


def without_torchvision() -> None:
    """AIMET imports torchvision for names that AdaRound never uses: empty classes will do where it is missing."""

    class Names(types.ModuleType):
        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            setattr(self, name, type(name, (), {}))
            return self.__dict__[name]

    for name in ("torchvision", "torchvision.datasets", "torchvision.transforms", "torchvision.ops"):
        made = Names(name)
        made.__path__ = []
        sys.modules[name] = made
        parent, _, child = name.partition(".")
        if child:
            setattr(sys.modules[parent], child, made)


def peak_bytes() -> int:
    """The most memory that this process has had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# The process ----------------------------------------------------------------------------------------------------------


def main() -> None:
    """Write TOOL-TASK.json into the folder: seconds, bytes above what was held before, and the outcome."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tool", choices=TOOLS)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    task = TASKS[options.task](options.data)
    torch.manual_seed(0)
    fit = TOOLS[options.tool](task, options.folder)
    held, started = peak_bytes(), time.perf_counter()
    rounded = fit()
    took, peak = time.perf_counter() - started, peak_bytes()
    found = {"seconds": took, "peak_bytes": peak, "above_bytes": peak - held, **task.judge(rounded)}
    (options.folder / f"{options.tool}-{options.task}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
