"""What compression did, as plain values."""

from dataclasses import dataclass

from microjoule.records.skipped import Skipped


@dataclass(frozen=True, slots=True)
class LayerFactorized:
    """One layer as a chain of factors.

    Args:
        layer: its path, under which the factors are.
        method: the form: "spatial", "input", "output" or "tucker".
        ranks: the channels between factors.
        full_ranks: with which nothing would be lost.
        macs_before: for one sample.
        macs_after: of all factors.
        error: the squared error of the weight over its sum of squares; with data, of the output over its variance.
    """

    layer: str
    method: str
    ranks: tuple[int, ...]
    full_ranks: tuple[int, ...]
    macs_before: int
    macs_after: int
    error: float


@dataclass(frozen=True, slots=True)
class Factorized:
    """Layers replaced by chains of factors.

    Args:
        source: the data whose moments the outputs' errors were made small for; None for data-free.
        samples: of that data; 0 for none.
        layers: what became of each, in order.
        skipped: layers that stayed as they were.
    """

    source: str | None
    samples: int
    layers: tuple[LayerFactorized, ...]
    skipped: tuple[Skipped, ...]
