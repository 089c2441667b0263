"""One shot of torch-pruning on one network, in a process of its own: how accurate it is with a share of its work left.

Channels go little by little, as its own examples have it, until no more multiply-accumulates are left than are wanted.
Nothing is trained; a second figure has the batch norms' statistics measured anew.

Source: Fang et al. 2023, DepGraph, https://arxiv.org/abs/2301.12900 (group L2 norm); Molchanov et al. 2019,
https://arxiv.org/abs/1906.10771 (Taylor).
"""

import argparse
import copy
import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import microjoule as mj
from benchmarks.alone import Images
from benchmarks.compression_cases import NAMES, Case, case
from microjoule.records.json_io import to_json
from microjoule.zoo.resnet_cifar import Block, CifarResNet

STEPS = 200
"""From all of the channels to none; each step takes as many."""

METHODS = {"L2 norm, all layers alike": False, "L2 norm, global": True, "Taylor, global": True}
"""Name -> whether all layers' channels compete."""

TAYLOR_IMAGES, AT_ONCE = 128, 16


def pruned(module: nn.Module, images: Images, method: str, shares: tuple[float, ...]) -> Iterator[nn.Module]:
    """The module with each share of its multiply-accumulates, in falling order.

    Args:
        module: to copy.
        images: whose gradients decide, for Taylor.
        method: one of `METHODS`.
        shares: of multiply-accumulates.
    """
    tool: Any = importlib.import_module("torch_pruning")
    found, example = copy.deepcopy(module).eval(), images.inputs[:1]
    taylor = method.startswith("Taylor")
    if taylor:
        _gradients(found, images)
    importance = tool.importance.GroupTaylorImportance() if taylor else tool.importance.GroupMagnitudeImportance(p=2)
    pruner = tool.pruner.BasePruner(
        found,
        example,
        importance,
        global_pruning=METHODS[method],
        pruning_ratio=1.0,
        iterative_steps=STEPS,
        ignored_layers=kept_whole(found),
    )
    whole = tool.utils.count_ops_and_params(found, example)[0]
    for share in shares:
        for _ in range(STEPS):
            if tool.utils.count_ops_and_params(found, example)[0] <= share * whole:
                break
            pruner.step()
        yield copy.deepcopy(found)


def kept_whole(module: nn.Module) -> list[nn.Module]:
    """The layer whose outputs are the network's, and those that torch-pruning cannot prune: sums with padded channels.

    Args:
        module: of the zoo.
    """
    *_, last = (one for one in module.modules() if isinstance(one, nn.Conv2d | nn.Linear))
    if not isinstance(module, CifarResNet):
        return [last]
    return [last, module.conv1, *(one.conv2 for one in module.modules() if isinstance(one, Block))]


def _gradients(module: nn.Module, images: Images) -> None:
    """Of the loss of some labelled images."""
    pairs = zip(images.inputs[:TAYLOR_IMAGES].split(AT_ONCE), images.labels[:TAYLOR_IMAGES].split(AT_ONCE), strict=True)
    for inputs, labels in pairs:
        cross_entropy(module(inputs), labels, reduction="sum").backward()


def norms_anew(module: nn.Module, inputs: Tensor) -> nn.Module | None:
    """A copy whose batch norms' statistics are those of some images; None if there is no batch norm.

    Args:
        module: to copy.
        inputs: (n, ...).
    """
    found = copy.deepcopy(module)
    norms = [one for one in found.modules() if isinstance(one, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    with torch.no_grad():
        for part in inputs.split(50) if norms else ():
            found(part)
    return found.eval() if norms else None


def outcomes(name: str, given: Case, module: nn.Module, shares: tuple[float, ...]) -> Iterator[dict[str, Any]]:
    """What is told of each method and share.

    Args:
        name: of the network.
        given: its images.
        module: it.
        shares: of multiply-accumulates.
    """
    whole = mj.costs(given.given.network.copy()).macs
    for method in METHODS:
        for share, found in zip(shares, pruned(module, given.images, method, shares), strict=True):
            left = mj.costs(mj.capture(found, given.images.inputs[:2])).macs / whole
            anew = norms_anew(found, given.images.inputs)
            yield {
                "network": name,
                "method": method,
                "share": share,
                "left": left,
                "evaluated": evaluation(found, given, method),
                "evaluated_norms": None if anew is None else evaluation(anew, given, f"{method}, norms anew"),
            }


def evaluation(module: nn.Module, given: Case, stage: str) -> dict[str, Any]:
    """Of a module on the images that judge, as JSON.

    Args:
        module: in evaluation.
        given: the images.
        stage: what to call it.
    """
    found = mj.evaluate(module, given.judges, given.given.metric, stage=stage, batch_size=25)
    content: dict[str, Any] = json.loads(to_json(found))
    return content


def main() -> None:
    """Write what comes of every method and share to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", choices=NAMES)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.75, 0.5])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--result", type=Path, required=True)
    options = parser.parse_args()
    given, module = case(options.network, options.data), mj.zoo.load(options.network, data=options.data).eval()
    found = list(outcomes(options.network, given, module, tuple(options.shares)))
    options.result.write_text(json.dumps({"outcomes": found}))


if __name__ == "__main__":
    main()
