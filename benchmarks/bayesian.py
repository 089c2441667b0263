"""LeNet-5-Caffe on MNIST by Bayesian compression: error, and how much smaller; 10,000 training images."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import microjoule as mj
from benchmarks.differences import SEEDS, below, mean
from benchmarks.figure import Figure
from benchmarks.partial_results import Part, Partial
from microjoule.execution.augment import turns_and_shifts
from microjoule.records.facts import Record
from microjoule.records.learned import BayesianPruned
from microjoule.records.measured import Evaluated

PAPER = "Louizos et al. 2017: error 1.0 %, 108x, 361x, on 60,000 images"

EPOCHS, PRUNING, FINETUNING = 60, 20, 100


class LeNet5(nn.Module):
    """LeNet-5 as Caffe has it: 20 and 50 channels, 800 inputs, 500 units.

    Source: LeCun et al. 1998, https://doi.org/10.1109/5.726791, in the version of Jia et al. 2014,
    https://arxiv.org/abs/1408.5093.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 20, 5), nn.Conv2d(20, 50, 5)
        self.fc1, self.fc2 = nn.Linear(800, 500), nn.Linear(500, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, 10).

        Args:
            x: (n, 1, 28, 28).
        """
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2).flatten(1)
        logits: Tensor = self.fc2(F.relu(self.fc1(x)))
        return logits


class Errors:
    """The share of samples that are taken for another class, in per cent."""

    name, unit, higher_is_better = "error", "%", False

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.wrong: list[float] = []

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Take in one batch.

        Args:
            outputs: (n, classes).
            targets: (n,).
        """
        self.wrong += (100.0 * (outputs.argmax(1) != targets)).tolist()

    def compute(self) -> float:
        """Per cent."""
        return sum(self.wrong) / len(self.wrong)

    def sample_scores(self) -> list[float]:
        """100 for each sample that is wrong."""
        return self.wrong


def parts(data: Path) -> Sequence[Part]:
    """The error before, then the error and size of what Bayesian compression left; each with three seeds.

    Args:
        data: a folder of the layout that the zoo reads.
    """
    return [Part("LeNet-5-Caffe", 40, partial(_figures, data))]


def _figures(data: Path, kept: Partial) -> Iterator[Figure]:
    train, test = (_together(mj.zoo.dataset(f"mnist/{part}", data=data)) for part in ("train", "test"))
    made = [kept.records(f"seed {seed}", partial(_made, train, test, seed)) for seed in SEEDS]
    before = [record for record, _, _ in made if isinstance(record, Evaluated)]
    after = [record for _, record, _ in made if isinstance(record, Evaluated)]
    pruned = [record for _, _, record in made if isinstance(record, BayesianPruned)]
    shapes = ["-".join(str(left) for _, left in [*one.units.values(), *one.inputs.values()]) for one in pruned]
    yield mean("LeNet-5-Caffe error", before)
    yield mean("after Bayesian compression, error", after, goal="<= 1.1", told=f"{PAPER}; {', '.join(shapes)}")
    yield below("after Bayesian compression, more errors than before", before, after)
    least, bits = (min(getattr(one, name) for one in pruned) for name in ("compression", "compression_with_bits"))
    yield Figure("fewer parameters", least, "x", ">= 100", f"{PAPER}; the least of 3 seeds")
    yield Figure("smaller with bits", bits, "x", ">= 300", f"{PAPER}; the least of 3 seeds")


def _made(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], seed: int) -> list[Record]:
    torch.manual_seed(seed)
    network = mj.capture(LeNet5().eval(), train[0][:2])
    settings: dict[str, Any] = {"augment": turns_and_shifts(), "batch_size": 100, "seed": seed}
    mj.train(network, train, epochs=EPOCHS, learning_rate=3e-3, optimizer="adamw", warmup=2, ema=0.998, **settings)
    before = _scored(network, test, "before")
    record = mj.bayesian_prune(
        network,
        train,
        epochs=PRUNING,
        strength=1.5,
        compression=100,
        finetune_epochs=FINETUNING,
        finetune_learning_rate=8e-3,
        finetune_ema=0.999,
        guard_bits=1,
        **settings,
    )
    return [before, _scored(network, test, "after"), record]


def _together(samples: Any) -> tuple[Tensor, Tensor]:
    inputs, labels = zip(*(samples[index] for index in range(len(samples))), strict=True)
    return torch.stack(inputs), torch.stack(labels)


def _scored(network: mj.Network, test: tuple[Tensor, Tensor], stage: str) -> Evaluated:
    return mj.evaluate(network.copy(), test, Errors(), stage=stage, batch_size=500)
