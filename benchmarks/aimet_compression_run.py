"""One shot of aimet-torch's own compression on one network, in a process of its own: what is left, and how good it is.

Its defaults: nine candidates a layer, multiplicity 1; the first layer stays, as in its examples: it cannot prune it.
Channel pruning reads a graph of modules, so that the network goes through AIMET's model preparer first.
"""

import argparse
import importlib
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import microjoule as mj
from benchmarks.aimet_run import without_torchvision
from benchmarks.alone import Images
from benchmarks.compression_cases import NAMES, case
from benchmarks.torch_pruning_run import evaluation

SCHEMES = {"svd": ("SpatialSvdParameters", "spatial_svd"), "pruning": ("ChannelPruningParameters", "channel_pruning")}
"""Name -> AIMET's class of settings, and its name of the scheme."""

PLACES = 10
"""Of each image in the regression: AIMET's own number."""

FITTED = 200
"""Images in the regression, which it gathers anew for each candidate."""

AT_ONCE = 50


def right_share(images: Images) -> Callable[..., float]:
    """What scores AIMET's candidates; it tells how many iterations it wants and whether on a GPU, which is left aside.

    Args:
        images: of which some are scored.
    """
    inputs, labels = images.inputs[: images.scored].split(AT_ONCE), images.labels[: images.scored].split(AT_ONCE)

    def score(module: nn.Module, *_asked: object, **_told: object) -> float:
        with torch.no_grad():
            right = sum(int((module(x).argmax(1) == y).sum()) for x, y in zip(inputs, labels, strict=True))
        return right / images.scored

    return score


def compressed(module: nn.Module, images: Images, scheme: str, share: float) -> nn.Module:
    """A smaller module by AIMET.

    Args:
        module: to compress.
        images: for scores and regression.
        scheme: one of `SCHEMES`.
        share: of multiply-accumulates that may be left.
    """
    names = ("aimet_torch.compress", "aimet_torch.defs", "aimet_common.defs", "aimet_torch.model_preparer")
    tool, settings, common, preparer = (importlib.import_module(name) for name in names)
    kind, scheme_name = SCHEMES[scheme]
    parameters: Any = getattr(settings, kind)
    greedy = common.GreedySelectionParameters(target_comp_ratio=Decimal(str(share)), num_comp_ratio_candidates=10)
    how: dict[str, Any] = {}
    if scheme == "pruning":
        module = preparer.prepare_model(module).eval()
        how["data_loader"] = DataLoader(TensorDataset(images.inputs, images.labels), batch_size=AT_ONCE)
        how |= {"num_reconstruction_samples": PLACES * FITTED, "allow_custom_downsample_ops": False}
    first = next(one for one in module.modules() if isinstance(one, nn.Conv2d))
    how |= {"mode": parameters.Mode.auto, "params": parameters.AutoModeParams(greedy, modules_to_ignore=[first])}
    found: nn.Module
    found, _ = tool.ModelCompressor.compress_model(
        module,
        right_share(images),
        images.scored,
        tuple(images.inputs[:1].shape),
        getattr(common.CompressionScheme, scheme_name),
        common.CostMetric.mac,
        parameters(**how),
    )
    return plain_norms(found.eval())


def plain_norms(module: nn.Module) -> nn.Module:
    """The module, whose batch norms' statistics are buffers again: AIMET stores those of a pruned norm as parameters.

    Args:
        module: changed in place.
    """
    for path, norm in list(module.named_modules()):
        if isinstance(norm, nn.BatchNorm2d):
            made = nn.BatchNorm2d(len(norm.weight), norm.eps)
            for name in ("weight", "bias", "running_mean", "running_var"):
                getattr(made, name).data.copy_(getattr(norm, name).data)
            module.set_submodule(path, made.eval())
    return module


def main() -> None:
    """Write what comes of a scheme and share to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", choices=NAMES)
    parser.add_argument("scheme", choices=SCHEMES)
    parser.add_argument("share", type=float)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--result", type=Path, required=True)
    options = parser.parse_args()
    without_torchvision()
    given, module = case(options.network, options.data), mj.zoo.load(options.network, data=options.data).eval()
    found = compressed(module, given.images, options.scheme, options.share)
    left = mj.costs(mj.capture(found, given.images.inputs[:2])).macs / mj.costs(given.given.network.copy()).macs
    told = {"method": options.scheme, "share": options.share, "left": left}
    told |= {"evaluated": evaluation(found, given, f"aimet-torch, {options.scheme}"), "evaluated_norms": None}
    options.result.write_text(json.dumps({"outcomes": [{"network": options.network, **told}]}))


if __name__ == "__main__":
    main()
