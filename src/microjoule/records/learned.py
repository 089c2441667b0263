"""What pruning that is learned left, as plain values."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BayesianPruned:
    """Units that were found not to be needed, and the bits that matter of what stayed.

    Args:
        method: "normal_jeffreys", "vib" or "l0".
        data: its name.
        epochs: of training with gates.
        strength: of the penalty.
        threshold: the score from which on a unit went.
        units: of each channel group, before and after.
        inputs: of each layer that picks single inputs out of those that a flattened channel gives, before and after.
        parameters_before: of the whole network, biases included.
        parameters_after: likewise.
        bits: layer path -> bits of each of its weights: a sign, 3 of the exponent, the rest of the significand; empty
            where weights were not rounded.
        size_bits: of what is left: weights at their bits, all other parameters at 32, and a bit for each input
            that a layer picks from, of channels that stay.
        seed: of the training.
        seconds: in all.
    """

    method: str
    data: str
    epochs: int
    strength: float
    threshold: float
    units: dict[str, tuple[int, int]]
    inputs: dict[str, tuple[int, int]]
    parameters_before: int
    parameters_after: int
    bits: dict[str, int]
    size_bits: int
    seed: int
    seconds: float

    @property
    def compression(self) -> float:
        """Parameters before over parameters after."""
        return self.parameters_before / self.parameters_after

    @property
    def compression_with_bits(self) -> float:
        """Bits before, at 32 a parameter, over bits after."""
        return 32 * self.parameters_before / self.size_bits
