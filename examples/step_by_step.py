"""A recipe of one's own out of single steps: 4-bit weights with one scale a tensor, two layers treated otherwise.

python examples/step_by_step.py [folder]
"""

import sys
from pathlib import Path

import torch

import microjoule as mj
from microjoule.numerics.ranges import mse

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "step_by_step")
folder.mkdir(parents=True, exist_ok=True)
images, metric = mj.zoo.dataset("digits_test"), mj.zoo.metric("top1")

network = mj.capture(mj.zoo.load("digits_mobilenet_v2"), torch.rand(2, 1, 8, 8))
mj.evaluate(network, images, metric, stage="fp32")
mj.costs(network, stage="fp32")

mj.fold_batch_norms(network)  # from here on the network is edited in place, and its history tells how
mj.weight_ranges(network, "before")
mj.fold_constant_channels(network)
mj.equalize_noise(network, input_range=(0, 1), weights=4)
mj.weight_ranges(network, "after")

mj.quantize(network, target="per-tensor", weights=4, layers={"features.0.0": 8, "classifier": 8}, weight_rule=mse)
mj.ranges_from_statistics(network, input_range=(0, 1))
mj.calibrate(network, mj.zoo.dataset("digits_train", limit=64), keep=True)  # only what statistics could not tell
mj.avoid_ties(network)
mj.balance_rounding(network)
mj.correct_biases_from_statistics(network, input_range=(0, 1))
mj.freeze(network)

mj.evaluate(network, images, metric, stage="W4A8")
mj.costs(network, stage="W4A8")
mj.errors_by_layer(network, images, stage="W4A8")
mj.report(network, folder / "report.html", title="4-bit weights, step by step")
