"""Whether deployed is what was simulated: ONNX Runtime and the integer runner against the simulation."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import microjoule as mj
from benchmarks.figure import Figure
from benchmarks.subjects import MOBILENET_V1, MOBILENET_V2, subject

TARGETS = ("per-tensor", "onnxruntime")
RUNTIMES = ("onnxruntime", "integer runner")

SAMPLES = 200


def figures(data: Path) -> Iterator[Figure]:
    """Agreement of the largest output, and of every value, for two networks and two targets."""
    for name in (MOBILENET_V1, MOBILENET_V2):
        given = subject(name, data, samples="imagenet_val650")
        for target in TARGETS:
            quantized = mj.recipes.data_free(given.network, target=target, input_range=given.input_range)
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.onnx"
                mj.export(quantized, path)
                for runtime in RUNTIMES:
                    yield from _agreement(quantized, path, given.labelled, (name, target, runtime))


def _agreement(network: mj.Network, path: Path, labelled: object, about: tuple[str, str, str]) -> Iterator[Figure]:
    (record,) = mj.verify(network, path, labelled, samples=SAMPLES, runtimes=[about[2]])
    title, compared = " ".join(about[:2]), f"{record.runtime} against the simulation, {record.samples} samples"
    yield Figure(f"{title}, {about[2]}: top-1 agreement", record.top1_agreement or 0.0, "share", ">= 0.998", compared)
    worst = min(record.layers, key=lambda layer: layer.within_one_step_share)
    share = worst.within_one_step_share
    place = f"{compared}; the worst of {len(record.layers)} values is {worst.name}"
    yield Figure(f"{title}, {about[2]}: values within a step", share, "share", ">= 0.999", place)
    equal = min(layer.equal_share for layer in record.layers)
    yield Figure(f"{title}, {about[2]}: values that are equal", equal, "share", None, f"{compared}; in the worst layer")
