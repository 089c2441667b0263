"""ResNet-20 compressed to a share of its measured latency: what was asked for, and what a new measurement finds."""

from collections.abc import Iterator
from pathlib import Path

import microjoule as mj
from benchmarks.compression_cases import RESNET20, case
from benchmarks.differences import SEEDS, below
from benchmarks.figure import Figure
from benchmarks.subjects import last_score, scored
from microjoule.recipes.latency_probes import in_turns
from microjoule.records.compressed import Compressed, LatencyModelled

SHARE = 0.7
"""Of the milliseconds in FP32, on one thread."""


def figures(data: Path) -> Iterator[Figure]:
    """The model's error, the share that was measured on the way and the one that is measured anew, and accuracy."""
    subject = case(RESNET20, data).given
    made = [_made(data, seed) for seed in SEEDS]
    (modelled,) = (record for record in made[0].history if isinstance(record, LatencyModelled))
    (record,) = (record for record in made[0].history if isinstance(record, Compressed))
    told = f"networks that it was not fitted to, of {modelled.networks}"
    yield Figure("error of the model of latency", 100 * modelled.relative_error, "%", None, told)
    told = f"{record.cost_after:.3f} of {record.cost_before:.3f} ms"
    yield Figure(f"{RESNET20} latency, as kept", record.cost_after / record.cost_before, "x", f"<= {SHARE}", told)
    before, after = in_turns([subject.network, made[0]])
    yield Figure(f"{RESNET20} latency, anew", after / before, "x", f"<= {SHARE}", f"{after:.3f} of {before:.3f} ms")
    exact = scored(subject.network, subject, "original", batch_size=100)
    found = [last_score(network, "compressed") for network in made]
    left = ", ".join(f"{mj.costs(network).macs / mj.costs(subject.network).macs:.1%}" for network in made)
    yield below(f"{RESNET20} at {SHARE:.0%} of its latency, below", exact, found, told=f"{left} of the MACs")


def _made(data: Path, seed: int) -> mj.Network:
    given = case(RESNET20, data, seed)
    pairs = given.images.inputs, given.images.labels
    return mj.compress(given.given.network, pairs, given.given.metric, latency=SHARE, confirm=given.judges, seed=seed)
