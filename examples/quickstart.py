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

network = mj.capture(
    mj.zoo.load("digits_mobilenet_v2"), torch.rand(1, 1, 8, 8)
)  # any model that torch.export can trace
before = mj.evaluate(network, images, metric, stage="fp32")
mj.export(network, folder / "fp32.onnx", stage="fp32")
mj.costs(network, stage="fp32")

quantized = mj.recipes.data_free(network, target="per-tensor", input_range=(0, 1))  # a new network; no image is read
after = mj.evaluate(quantized, images, metric, stage="data-free W8A8")
mj.costs(quantized, stage="data-free W8A8")
mj.export(quantized, folder / "int8.onnx", stage="data-free W8A8")

for runtime in mj.verify(quantized, folder / "int8.onnx", images, samples=256):  # layer by layer
    print(f"{runtime.runtime}: first departure {runtime.first_departure}, same top-1 {runtime.top1_agreement:.1%}")
for name, stage in (("fp32", "fp32"), ("int8", "data-free W8A8")):
    quantized.history.append(mj.measure(folder / f"{name}.onnx", stage=stage))
print(f"top-1: {before.value:.2f} % in FP32, {after.value:.2f} % in int8")
print(f"report: {mj.report(quantized, folder / 'report.html')}")
