"""LeNet-5-Caffe on MNIST by Bayesian compression: error, and how much smaller; 10,000 training images."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import microjoule as mj
from benchmarks.figure import Figure
from microjoule.execution.augment import turns_and_shifts

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


def figures(data: Path) -> Iterator[Figure]:
    """The error before, then the error and size of what Bayesian compression left."""
    train, test = (_together(mj.zoo.dataset(f"mnist/{part}", data=data)) for part in ("train", "test"))
    torch.manual_seed(0)
    network = mj.capture(LeNet5().eval(), train[0][:2])
    settings: dict[str, Any] = {"augment": turns_and_shifts(), "batch_size": 100}
    mj.train(network, train, epochs=EPOCHS, learning_rate=3e-3, optimizer="adamw", warmup=2, ema=0.998, **settings)
    yield Figure("LeNet-5-Caffe error", _error(network, test), "%", None, f"{len(test[1])} images")
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
    shape = "-".join(str(left) for _, left in [*record.units.values(), *record.inputs.values()])
    yield Figure("after Bayesian compression, error", _error(network, test), "%", "<= 1.1", f"{PAPER}; {shape}")
    yield Figure("fewer parameters", record.compression, "x", ">= 100", PAPER)
    yield Figure("smaller with bits", record.compression_with_bits, "x", ">= 300", PAPER)


def _together(samples: Any) -> tuple[Tensor, Tensor]:
    inputs, labels = zip(*(samples[index] for index in range(len(samples))), strict=True)
    return torch.stack(inputs), torch.stack(labels)


def _error(network: mj.Network, test: tuple[Tensor, Tensor]) -> float:
    return 100 - mj.evaluate(network, test, mj.zoo.metric("top1"), batch_size=500).value
