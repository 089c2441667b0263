"""The most memory that fitting takes: MobileNetV2 and 1024 images of 224x224, in a process of its own."""

import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.utils.data import ConcatDataset, Subset

import microjoule as mj
from benchmarks.figure import Figure
from benchmarks.subjects import MOBILENET_V2, images
from microjoule.deploy.measure_process import peak_bytes as process_peak

IMAGES, HELD = 1024, 500
"""As many as are asked for, and as the set holds: some are used twice, which takes as much memory."""


def figures(data: Path) -> Iterator[Figure]:
    """Its peak, with all libraries and the images.

    Args:
        data: a folder of the layout that the zoo reads.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        before, peak = pool.apply(peak_bytes, (data, IMAGES))
    compared = f"{before / 1e9:.2f} GB once calibrated, before; {IMAGES} images of 224x224, GPTQ of every layer"
    yield Figure(f"{MOBILENET_V2}, peak resident memory of fitting", peak / 1e9, "GB", "<= 2.0", compared)


def peak_bytes(data: Path, count: int) -> tuple[int, int]:
    """The most memory that this process has had before and after fitting.

    Args:
        data: a folder of the layout that the zoo reads.
        count: of images.
    """
    mj.tune_allocator()
    some = images(MOBILENET_V2, data, min(count, HELD))
    network = mj.capture(mj.zoo.load(MOBILENET_V2, data=data), torch.stack([some[0][0], some[1][0]]))
    mj.fold_batch_norms(network)
    mj.quantize(network, weights=4)
    mj.calibrate(network, some, samples=64)
    whole, rest = divmod(count, len(some))
    before = process_peak()
    mj.gptq(network, ConcatDataset([*[some] * whole, Subset(some, range(rest))]))
    return before, process_peak()
