"""What is compressed: networks of the zoo, the images that a recipe may look at, and those that judge it.

The images that are looked at are never those that judge: of CIFAR-10 they are drawn from the training set, of ImageNet
they are the 500 sample images, one of a class.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import microjoule as mj
from benchmarks.alone import Images
from benchmarks.subjects import MOBILENET_V2, SQUEEZENET, Subject, folder, subject

RESNET20, RESNET32, RESNET56 = "resnet20_cifar10", "resnet32_cifar10", "resnet56_cifar10"

CIFAR_IMAGES = 1000

SCORED = {RESNET20: 500, RESNET32: 400, RESNET56: 200, SQUEEZENET: 100, MOBILENET_V2: 60}
"""Images that score each candidate of AIMET's recipe: what a few minutes are enough for."""

NAMES = tuple(SCORED)


@dataclass(frozen=True, slots=True)
class Case:
    """A network to compress.

    Args:
        given: it, and the labelled images that judge what comes of it.
        images: what a recipe may look at.
    """

    given: Subject
    images: Images

    @property
    def judges(self) -> Any:
        """The labelled images that judge."""
        return self.given.labelled


def case(name: str, data: Path, seed: int = 0) -> Case:
    """A network with its images.

    Args:
        name: one of `NAMES`.
        data: a folder of the layout that the zoo reads.
        seed: of the draw of the images that a recipe may look at.
    """
    if name.startswith("resnet"):
        given = subject(name, data, samples="cifar10_jpeg", part="/test")
        others = mj.zoo.dataset(folder(data, "cifar10_jpeg") + "/train", model=name, data=data)
        count = CIFAR_IMAGES
    else:
        given = subject(name, data, samples="imagenet_val650")
        others = mj.zoo.dataset(folder(data, "imagenet_sample500"), model=name, data=data)
        count = len(others)  # type: ignore[arg-type]
    drawn = torch.randperm(len(others), generator=torch.Generator().manual_seed(seed))[:count]  # type: ignore[arg-type]
    pairs = [others[int(index)] for index in drawn]
    inputs, labels = torch.stack([pair[0] for pair in pairs]), torch.tensor([int(pair[1]) for pair in pairs])
    return Case(given, Images(inputs, labels, SCORED[name]))
