"""What is measured: networks of the zoo with the data that belongs to them, found in any folder of the same layout."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Subset

import microjoule as mj
from microjoule.errors import FileError
from microjoule.execution.scoring import Metric
from microjoule.records.measured import Evaluated

MOBILENET_V1 = "mobilenet_v1_0.25_224_keras"
MOBILENET_V2 = "mobilenet_v2_1.0_224_tf"
SQUEEZENET = "squeezenet1_1"
DEEPLAB = "deeplabv3_mnv2_pascal_tf"
DS_CNN = "kws_dscnn"


@dataclass(frozen=True, slots=True)
class Subject:
    """A captured network, its labelled data, its metric, and the range of its inputs."""

    network: mj.Network
    labelled: Any
    metric: Metric
    input_range: tuple[float, float]
    name: str


def subject(name: str, data: Path, *, samples: str, part: str = "", metric: str = "top1") -> Subject:
    """Load, capture, and find the data.

    Args:
        name: of the network in the zoo.
        data: the data folder.
        samples: how the labelled set's folder begins.
        part: of the set, where it has several.
        metric: of the zoo.
    """
    labelled = mj.zoo.dataset(folder(data, samples) + part, model=name, data=data)
    example = torch.stack([labelled[index][0] for index in range(2)])
    low, high = mj.zoo.card(name).input_range
    network = mj.capture(mj.zoo.load(name, data=data), example, dynamic=mj.zoo.card(name).dynamic)
    return Subject(network, labelled, mj.zoo.metric(metric), (float(low), float(high)), name)


def last_score(network: mj.Network, stage: str) -> Evaluated:
    """The last score in a network's history: what confirmed it.

    Args:
        network: that a search gave.
        stage: what to call it.
    """
    found = next(record for record in reversed(network.history) if isinstance(record, Evaluated))
    return replace(found, stage=stage, compared=None, apart="")


def images(name: str, data: Path, count: int, *, seed: int = 0) -> Any:
    """Unlabelled images for a network, drawn at random of 500.

    Args:
        name: of the network.
        data: the data folder.
        count: of the images.
        seed: of the draw.
    """
    return drawn(mj.zoo.dataset(folder(data, "imagenet_sample500"), model=name, data=data), count, seed)


def drawn(whole: Any, count: int, seed: int) -> Any:
    """Some samples of a set, at random, under its name.

    Args:
        whole: the set.
        count: how many.
        seed: of the draw.
    """
    order = torch.randperm(len(whole), generator=torch.Generator().manual_seed(seed)).tolist()
    found: Any = Subset(whole, order[:count])
    found.name = whole.name
    return found


def folder(data: Path, beginning: str) -> str:
    """The first folder whose name begins so: another half of a set may have another ending.

    Raises:
        FileError: if there is none.
    """
    found = sorted(path.name for path in data.glob(f"{beginning}*") if path.is_dir())
    if not found:
        raise FileError(str(data), f"holds no {beginning}*", remedy="name the folder of the data with --data")
    return found[0]


def scored(network: mj.Network, given: Subject, stage: str, *, batch_size: int = 16) -> Evaluated:
    """A network's metric on the subject's labelled data; the network is left alone.

    Args:
        network: to score.
        given: whose data scores it.
        stage: what to call it.
        batch_size: samples a batch.
    """
    return mj.evaluate(network.copy(), given.labelled, given.metric, stage=stage, batch_size=batch_size)
