"""Latency and size of int8 against FP32 in ONNX Runtime: batch 1, two threads, each file in a process of its own."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

import microjoule as mj
from benchmarks.figure import Figure
from benchmarks.subjects import MOBILENET_V2
from microjoule.deploy.measure import measure_together

RUNS = 600
GOALS = {MOBILENET_V2: ("<= 0.50", "<= 0.27"), "resnet18": ("<= 0.33", None)}


def figures(data: Path) -> Iterator[Figure]:
    """The ratio of latencies and of sizes, network by network."""
    for name, (faster, smaller) in GOALS.items():
        low, high = (float(bound) for bound in mj.zoo.card(name).input_range)
        generator = torch.Generator().manual_seed(0)
        example = low + (high - low) * torch.rand(1, 3, 224, 224, generator=generator)
        network = mj.capture(mj.zoo.load(name, data=data), example)
        quantized = mj.recipes.data_free(network, input_range=(low, high))
        mj.fold_batch_norms(network)
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"]
            mj.export(network, paths[0])
            mj.export(quantized, paths[1])
            exact, integer = measure_together(paths, runs=RUNS, threads=2)
        times = f"{integer.latency_low_ms:.2f} ms against {exact.latency_low_ms:.2f} ms FP32, first deciles"
        medians = f"medians {integer.latency_ms:.2f} and {exact.latency_ms:.2f} ms, {exact.runtime}"
        ratio = integer.latency_low_ms / exact.latency_low_ms  # other load on the machine moves the medians
        yield Figure(f"{name} int8 latency", ratio, "x", faster, f"{times}; {medians}")
        sizes = f"{integer.size_bytes:,} bytes against {exact.size_bytes:,}"
        yield Figure(f"{name} int8 file size", integer.size_bytes / exact.size_bytes, "x", smaller, sizes)
