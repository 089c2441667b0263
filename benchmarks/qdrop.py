"""Activations of 4 bits: QDrop, which learns block by block, against AdaRound, which learns layer by layer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import microjoule as mj
from benchmarks.figure import Figure
from benchmarks.subjects import MOBILENET_V2, images, score, subject

IMAGES, ITERATIONS = 128, 100
"""For two cores: the published runs have 1024 images and 20,000 iterations a block."""


def figures(data: Path) -> Iterator[Figure]:
    """Top-1 of MobileNetV2 with weights and activations of 4 bits everywhere.

    Args:
        data: a folder of the layout that the zoo reads.
    """
    given, fitted = subject(MOBILENET_V2, data, samples="imagenet_val650"), images(MOBILENET_V2, data, IMAGES)
    bits: dict[str, Any] = {"weights": 4, "activations": 4, "input_range": given.input_range}
    layered = score(mj.recipes.adaround(given.network, fitted, **bits), given)
    blocked = score(mj.recipes.qdrop(given.network, fitted, **bits, iterations=ITERATIONS), given)
    compared = f"AdaRound {layered:.2f}, QDrop {blocked:.2f}; {IMAGES} images, {ITERATIONS} iterations a block"
    yield Figure(f"{given.name} W4A4, QDrop above AdaRound", blocked - layered, "points", ">= 4.0", compared)
