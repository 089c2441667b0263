"""What training gave, as plain values."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trained:
    """A run of training.

    Args:
        data: its name.
        samples: that one epoch went through.
        epochs: how often it went through the data.
        steps: of the optimizer, in all.
        losses: the mean loss of each epoch, penalty and teacher's part included.
        metric: what the values are of; empty where nothing was validated.
        unit: of the values.
        values: of the metric after each epoch.
        optimizer: its name.
        learning_rate: the peak.
        seed: of the order of the samples and of every random change.
        teacher: whether it learned from another network.
        averaged: whether it holds the moving average of its weights.
        seconds: in all, those before an interruption included.
        fixed: the parameters that no gradient came to, of those that were to learn.
    """

    data: str
    samples: int
    epochs: int
    steps: int
    losses: tuple[float, ...]
    metric: str
    unit: str
    values: tuple[float, ...]
    optimizer: str
    learning_rate: float
    seed: int
    teacher: bool
    averaged: bool
    seconds: float
    fixed: tuple[str, ...] = ()
