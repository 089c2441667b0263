"""The most memory that each zoo network takes while it is quantized and scored, in a process of its own."""

import multiprocessing
from collections.abc import Iterator
from pathlib import Path

from torch.utils.data import Subset

import microjoule as mj
from benchmarks.accuracy import IMAGES
from benchmarks.figure import Figure
from benchmarks.subjects import DEEPLAB, DS_CNN, MOBILENET_V1, MOBILENET_V2, SQUEEZENET, images, subject
from microjoule.deploy.measure_process import peak_bytes as process_peak

NETWORKS = {
    DS_CNN: ("kws01", "", "top1"),
    MOBILENET_V1: ("imagenet_val650", "", "top1"),
    MOBILENET_V2: ("imagenet_val650", "", "top1"),
    SQUEEZENET: ("imagenet_val650", "", "top1"),
    DEEPLAB: ("coco128_val", "/masks", "miou"),
}
"""By name the beginning of its labelled data, which part of that, and its metric."""

WITHOUT_STATISTICS = (SQUEEZENET, DEEPLAB)
"""They have no batch norms, so that images set their ranges."""

SCORED = 64
"""Samples: more than one batch of any network; the others are streamed as these are."""


def figures(data: Path) -> Iterator[Figure]:
    """The peak of each, with all libraries and the data.

    Args:
        data: a folder of the layout that the zoo reads.
    """
    for name in NETWORKS:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            peak = pool.apply(peak_bytes, (name, data))
        seen = f"ranges from {IMAGES} images" if name in WITHOUT_STATISTICS else "no data"
        compared = f"data-free W8A8, {seen}; {SCORED} samples scored before and after"
        yield Figure(f"{name}, peak resident memory of recipe and evaluation", peak / 1e9, "GB", "<= 3.0", compared)


def peak_bytes(name: str, data: Path) -> int:
    """The most memory that this process has had once a network is quantized and scored.

    Args:
        name: of the network.
        data: a folder of the layout that the zoo reads.
    """
    samples, part, metric = NETWORKS[name]
    given = subject(name, data, samples=samples, part=part, metric=metric)
    some = Subset(given.labelled, range(min(SCORED, len(given.labelled))))
    mj.evaluate(given.network, some, given.metric, stage="fp32")
    seen = images(name, data, IMAGES) if name in WITHOUT_STATISTICS else None
    made = mj.recipes.data_free(given.network, target="per-tensor", input_range=given.input_range, data=seen)
    mj.evaluate(made, some, given.metric)
    return process_peak()
