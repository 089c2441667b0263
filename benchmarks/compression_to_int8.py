"""The whole chain on ResNet-20: pruned, in low-rank forms, in 8 bits, against the original; run by ONNX Runtime.

Latency is on one thread, as everywhere where networks are compared; and on two, as `microjoule measure` takes it.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import microjoule as mj
from benchmarks.compression import RANGED
from benchmarks.compression_cases import RESNET20, case
from benchmarks.differences import SEEDS, below
from benchmarks.figure import Figure
from benchmarks.subjects import last_score, scored
from microjoule.deploy.measure import measure_together

SHARE = 0.5
"""Of the multiply-accumulates, to keep."""

RUNS, THREADS = 400, {"one thread": 1, "two threads": 2}

VERIFIED = 100
"""Images on which simulated and deployed are compared, layer by layer."""


def figures(data: Path) -> Iterator[Figure]:
    """Accuracy, bytes, multiply-accumulates, energy and latency, each against the original's."""
    subject = case(RESNET20, data).given
    made = [_made(data, seed) for seed in SEEDS]
    small, labelled = made[0]
    exact = scored(subject.network, subject, "FP32", batch_size=100)
    found = [last_score(network, "compressed W8A8") for network, _ in made]
    yield below(f"{RESNET20} half the MACs, W8A8, below FP32", exact, found)
    plain = subject.network.copy()
    mj.fold_batch_norms(plain)
    both = [mj.costs(network) for network in (plain, small)]
    yield _ratio("MACs", [one.macs for one in both], "MACs")
    yield _ratio("energy, estimated", [one.energy_pj / 1e6 for one in both], "uJ")
    with tempfile.TemporaryDirectory(prefix="microjoule-") as place:
        paths = [Path(place) / "fp32.onnx", Path(place) / "int8.onnx", Path(place) / "original-int8.onnx"]
        whole = mj.recipes.data_free(subject.network, input_range=subject.input_range, data=labelled[:RANGED])
        for network, path in zip((plain, small, whole), paths, strict=True):
            mj.export(network, path)
        yield _ratio("file", [path.stat().st_size for path in paths[:2]], "bytes")
        for name, threads in THREADS.items():
            plain_ms, own, other = (one.latency_low_ms for one in measure_together(paths, runs=RUNS, threads=threads))
            yield _ratio(f"latency, {name}", [plain_ms, own], f"ms; {other:.4g} ms in int8 uncompressed")
        images = torch.stack([subject.labelled[index][0] for index in range(VERIFIED)])
        departures = [one.first_departure for one in mj.verify(small, paths[1], images)]
    told = f"{len(departures)} runtimes, {VERIFIED} images, layer by layer"
    yield Figure(
        "runtimes that depart from the simulation", sum(one is not None for one in departures), "", "== 0", told
    )


def _made(data: Path, seed: int) -> tuple[mj.Network, Tensor]:
    """The network of a seed, and the images that it may look at."""
    given = case(RESNET20, data, seed)
    subject, pairs = given.given, (given.images.inputs, given.images.labels)
    how: dict[str, Any] = {"macs": SHARE, "input_range": subject.input_range, "confirm": given.judges, "seed": seed}
    return mj.recipes.svd_prune_int8(subject.network, pairs, subject.metric, **how), given.images.inputs


def _ratio(name: str, values: list[float], unit: str) -> Figure:
    """What is left of the original's."""
    before, after = values
    return Figure(f"{RESNET20} {name}", after / before, "x", "< 1", f"{after:,.4g} against {before:,.4g} {unit}")
