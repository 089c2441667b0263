"""What `reach` tries, the cheapest first: one line each in `ATTEMPTS`.

Cheap is what an attempt takes of time and of data: the networks that come of the same widths cost the same.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microjoule.costs.target import Target
from microjoule.execution.batches import Batches
from microjoule.graph.fold import fold_batch_norms
from microjoule.graph.network import Network
from microjoule.numerics.ranges import mse
from microjoule.quantization.calibrate import calibrate
from microjoule.quantization.simulate import Bits, freeze
from microjoule.quantization.tie_free import avoid_ties
from microjoule.recipes.data_free import data_free, naive
from microjoule.recipes.learned_rounding import adaround, gptq


@dataclass(frozen=True, slots=True)
class Settings:
    """What every attempt goes by.

    Args:
        target: which the network shall run on.
        weights: bits of weights.
        activations: bits of activations.
        layers: exceptions by layer path, as in `quantize`.
        input_range: smallest and largest value of the network's inputs.
        iterations: for each layer, where something is learned.
        seed: of every draw.
    """

    target: Target
    weights: int
    activations: int
    layers: Mapping[str, Bits]
    input_range: tuple[float, float]
    iterations: int
    seed: int

    @property
    def placement(self) -> dict[str, Any]:
        """What says where quantizers stand, and how wide they are."""
        bits = {"weights": self.weights, "activations": self.activations}
        return {"target": self.target, **bits, "layers": self.layers}


Make = Callable[[Network, Batches, Settings, Path], Network]
"""The network in floating point, which is left alone, unlabelled inputs, settings, and a folder that keeps parts of the
work as soon as they are done -> a new network with quantizers, frozen. The same arguments give the same integers.
"""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A way to make a network cheaper.

    Args:
        name: what it is called in records; it tells attempts apart.
        make: does it.
    """

    name: str
    make: Make


def _naive(network: Network, data: Batches, settings: Settings, folder: Path) -> Network:
    del folder
    return naive(network, data, **settings.placement)


def _data_free(network: Network, data: Batches, settings: Settings, folder: Path) -> Network:
    """By the batch norms' statistics; a network without any goes by the inputs, which are better than noise."""
    del folder
    folded = network.copy()
    fold_batch_norms(folded)
    source, inputs = None if folded.preactivations else data, settings.input_range
    return data_free(network, **settings.placement, input_range=inputs, data=source, seed=settings.seed)


def _mse_ranges(network: Network, data: Batches, settings: Settings, folder: Path) -> Network:
    """Weights and biases as in `_data_free`, activation ranges by the least squared error on the inputs."""
    result = _data_free(network, data, settings, folder)
    calibrate(result, data, rule=mse)
    avoid_ties(result)
    freeze(result)
    return result


def _gptq(network: Network, data: Batches, settings: Settings, folder: Path) -> Network:
    given: dict[str, Any] = {"input_range": settings.input_range, "seed": settings.seed, "folder": folder}
    return gptq(network, data, **settings.placement, **given)


def _adaround(network: Network, data: Batches, settings: Settings, folder: Path) -> Network:
    given: dict[str, Any] = {"input_range": settings.input_range, "seed": settings.seed, "folder": folder}
    return adaround(network, data, **settings.placement, **given, iterations=settings.iterations)


ATTEMPTS = (
    Attempt("naive", _naive),
    Attempt("data-free", _data_free),
    Attempt("MSE ranges", _mse_ranges),
    Attempt("GPTQ", _gptq),
    Attempt("AdaRound", _adaround),
)
"""The cheapest first."""
