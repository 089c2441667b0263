"""Models and data with pinned checksums, for trials, tests and benchmarks."""

from microjoule.zoo.cards import Card, card, names
from microjoule.zoo.data import dataset
from microjoule.zoo.metrics import metric
from microjoule.zoo.models import load

__all__ = ["Card", "card", "dataset", "load", "metric", "names"]
