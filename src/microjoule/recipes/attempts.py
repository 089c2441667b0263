"""What `reach` tries, the cheapest first: one line each in `ATTEMPTS`.

Cheap is what an attempt takes of time and of data: the networks that come of the same widths cost the same. The last
ones, with more bits where they are needed most, cost more.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microjoule.costs.count import costs
from microjoule.costs.target import Target
from microjoule.errors import GraphError
from microjoule.execution.batches import Batches
from microjoule.graph.card import Ranges
from microjoule.graph.fold import fold_batch_norms
from microjoule.graph.network import Network
from microjoule.numerics.ranges import mse
from microjoule.quantization.calibrate import calibrate
from microjoule.quantization.simulate import Bits, freeze, quantize
from microjoule.quantization.tie_free import avoid_ties
from microjoule.recipes.data_free import data_free, naive
from microjoule.recipes.learned_rounding import WIDE, adaround, gptq, qdrop
from microjoule.recipes.mixed_precision import mixed_precision


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
    input_range: Ranges
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


def _qdrop(network: Network, data: Batches, settings: Settings, folder: Path) -> Network:
    """For narrow activations only: with wide ones it takes long and does no better than AdaRound."""
    if settings.activations >= WIDE:
        raise GraphError("activations", f"of {settings.activations} bits gain nothing", remedy="use AdaRound")
    given: dict[str, Any] = {"input_range": settings.input_range, "seed": settings.seed, "folder": folder}
    return qdrop(network, data, **settings.placement, **given, iterations=settings.iterations)


def _mixed_precision(share: float) -> Make:
    """Bits as they are needed, for a multiple of the bit operations that the widths asked for would take."""

    def make(network: Network, data: Batches, settings: Settings, folder: Path) -> Network:
        if settings.layers:
            raise GraphError(
                "layers", "names bits of its own, where mixed precision chooses all", remedy="leave it out"
            )
        return mixed_precision(
            network,
            data,
            budget=share * _bops(network, settings),
            candidates=_candidates(settings),
            target=settings.target,
            input_range=settings.input_range,
            seed=settings.seed,
            folder=folder,
        )

    return make


def _bops(network: Network, settings: Settings) -> float:
    """Bit operations of one sample with the widths asked for everywhere."""
    uniform = network.copy()
    fold_batch_norms(uniform)
    quantize(uniform, **settings.placement)
    return costs(uniform).bops


def _candidates(settings: Settings) -> list[tuple[int, int]]:
    """The widths asked for, up to twice as many of each."""
    weights, activations = (
        sorted(bits for bits in allowed if least <= bits <= 2 * least)
        for allowed, least in (
            (settings.target.weight_bits, settings.weights),
            (settings.target.activation_bits, settings.activations),
        )
    )
    return [(wide, activations[0]) for wide in weights] + [(weights[-1], wide) for wide in activations[1:]]


ATTEMPTS = (
    Attempt("naive", _naive),
    Attempt("data-free", _data_free),
    Attempt("MSE ranges", _mse_ranges),
    Attempt("GPTQ", _gptq),
    Attempt("AdaRound", _adaround),
    Attempt("QDrop", _qdrop),
    Attempt("mixed precision, 1.25 x", _mixed_precision(1.25)),
    Attempt("mixed precision, 1.5 x", _mixed_precision(1.5)),
)
"""The cheapest first."""
