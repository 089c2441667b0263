"""The main job in Python: a network in, a verified integer model and a report out. No data is used to quantize.

python examples/quickstart.py [folder]
"""

import sys
from pathlib import Path

import torch

import microjoule as mj

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "quickstart")
folder.mkdir(parents=True, exist_ok=True)
images, metric = mj.zoo.dataset("digits_test"), mj.zoo.metric("top1")

network = mj.capture(mj.zoo.load("digits_resnet"), torch.rand(2, 1, 8, 8))  # any model that torch.export can trace
before = mj.evaluate(network, images, metric, stage="fp32")

quantized = mj.recipes.data_free(network, input_range=(0, 1))  # a new network; no image is read
after = mj.evaluate(quantized, images, metric, stage="data-free W8A8")

made = mj.recipes.deliver(quantized, folder / "int8", images, original=network, stage="data-free W8A8", samples=256)

for runtime in made.verified:  # layer by layer
    print(f"{runtime.runtime}: first departure {runtime.first_departure}, same top-1 {runtime.top1_agreement:.1%}")
floating, integer = made.measured
print(f"top-1 of {after.samples}: {before.value:.2f} % in FP32, {after.value:.2f} % in int8")
print(f"latency: {floating.latency_ms * 1e3:.0f} µs in FP32, {integer.latency_ms * 1e3:.0f} µs in int8")
print(f"flash: {made.flash_bytes / 1e3:.0f} kB, RAM of activations: {made.ram_bytes / 1e3:.1f} kB")
for path, content in made.files.items():
    print(f"{path}: {content}")
