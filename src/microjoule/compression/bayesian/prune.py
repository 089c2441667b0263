"""Bayesian pruning: gates are learned with the network, and what they leave open is all that stays.

Sources: Louizos, Ullrich and Welling 2017, https://arxiv.org/abs/1705.08665 ("normal_jeffreys"); Dai et al. 2018,
https://arxiv.org/abs/1802.10399 ("vib"); Louizos, Welling and Kingma 2018, https://arxiv.org/abs/1712.01312 ("l0").
"""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from microjoule.compression.bayesian.choose import Choice, choose, choose_within, parameters_left, sizes_of, stays
from microjoule.compression.bayesian.gate import Gate
from microjoule.compression.bayesian.hard_concrete import HardConcreteGate
from microjoule.compression.bayesian.information_bottleneck import BottleneckGate
from microjoule.compression.bayesian.normal_jeffreys import (
    NormalJeffreysGate,
    marginal_variance,
    round_to_bits,
    significant_bits,
)
from microjoule.compression.bayesian.posterior import HOLDER, Posterior, spread, unit_of
from microjoule.errors import GraphError, SettingError
from microjoule.execution.augment import Augment
from microjoule.execution.batches import Batches, batches
from microjoule.execution.device import Device, move, returns
from microjoule.execution.distill import Teacher
from microjoule.execution.train import train
from microjoule.graph.edit import per_input, set_weight
from microjoule.graph.network import Network, takes_network
from microjoule.graph.ops import Layer
from microjoule.graph.prune import remove_channels
from microjoule.graph.quantizer import Quantizer
from microjoule.graph.select import select_inputs
from microjoule.jobs.identity import Identity, option_facts
from microjoule.jobs.run_folder import RunFolder
from microjoule.records.learned import BayesianPruned

GATES: dict[str, Callable[[int], Gate]] = {
    "normal_jeffreys": NormalJeffreysGate,
    "vib": BottleneckGate,
    "l0": HardConcreteGate,
}

QUICK = 30.0
"""What is beside the weights learns this much faster: it has as far to go, from almost no noise to nothing else."""

RISE = 0.3
"""The share of the steps over which the penalty rises to its strength."""

SIGN_AND_EXPONENT = 4
"""Bits of a weight beside its significand."""


@takes_network
@returns
def bayesian_prune(
    network: Network,
    data: Any,
    *,
    method: str = "normal_jeffreys",
    epochs: int,
    learning_rate: float = 1e-3,
    strength: float = 1.0,
    compression: float | None = None,
    finetune_epochs: int = 0,
    finetune_learning_rate: float = 4e-3,
    teacher: Network | Teacher | None = None,
    finetune_ema: float | None = None,
    round_weights: bool = True,
    guard_bits: int = 0,
    batch_size: int = 100,
    augment: Augment | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    device: Device = None,
) -> BayesianPruned:
    """Learn which units a network needs, and remove the others, in place.

    The loss is the cross-entropy plus the divergence of what is learned from its prior over the number of samples; of
    "l0", the expected number of parameters over the number of samples. At least one unit of each group stays.

    Args:
        network: a trained network, in floating point, with layers as modules.
        data: labelled, of a known number of samples, in any form that `batches` takes.
        method: "normal_jeffreys", whose weights have noise, too, "vib" or "l0".
        epochs: of training with gates.
        learning_rate: the peak, of AdamW; what is beside the weights learns 30 times as fast.
        strength: what the divergence is multiplied by; with 1 it is the bound on the evidence, for the Bayesian ones.
        compression: remove units in the order of their scores until the parameters are this many times fewer; None
            removes what the method's own threshold tells.
        finetune_epochs: of training without gates, after the removal and before the rounding.
        finetune_learning_rate: its peak.
        finetune_ema: the decay of its moving average of the weights, as `train` takes it.
        teacher: whom the fine-tuning learns from; the network as it was before, if None.
        round_weights: with "normal_jeffreys", round weights to the bits that their posterior leaves.
        guard_bits: how many more bits each weight keeps, for accuracy; `compression_with_bits` counts them.
        batch_size: samples a batch.
        augment: changes each batch at random.
        seed: of the training.
        folder: keeps the state after each epoch, of the training with gates and of the fine-tuning; the same call goes
            on from there.
        device: where it runs, such as "cuda"; None for where the network is, and where it is afterwards.

    Returns:
        The record; the network keeps it in its history as well, after those of its training and its removals.

    Raises:
        DataError: as `train`.
        FileError: as `train`.
        GraphError: if no channels can be removed, or weights are quantized.
        SettingError: for an unknown method, or a value that cannot be.
    """
    move(network, device)
    started, original = time.perf_counter(), network.copy() if teacher is None else teacher
    samples = _check(method, batches(data, network), strength, compression, guard_bits)
    before = _checked_parameters(network, method, compression)
    settings: dict[str, Any] = {"data": data, "batch_size": batch_size, "augment": augment, "seed": seed}
    settings |= {"optimizer": "adamw", "weight_decay": 0.0}
    asked = {"method": method, "strength": strength, "compression": compression, "epochs": epochs, "seed": seed}
    asked |= {"learning_rate": learning_rate, "finetune_epochs": finetune_epochs}
    asked |= {"finetune_learning_rate": finetune_learning_rate, "finetune_ema": finetune_ema}
    with RunFolder(folder, lambda: Identity.of(option_facts(asked))) as kept:
        first = settings | {"epochs": epochs, "learning_rate": learning_rate, "folder": kept.inner("learning")}
        posterior = _learned(network, method, strength / samples, first)
        choice, picks, variances = _removed(network, posterior, compression)
        if finetune_epochs:
            settings |= {"epochs": finetune_epochs, "learning_rate": finetune_learning_rate}
            train(network, warmup=1, teacher=original, ema=finetune_ema, folder=kept.inner("fine-tuning"), **settings)
    bits = _round(network, variances, guard_bits) if round_weights else {}
    told: dict[str, Any] = {"method": method, "epochs": epochs, "strength": strength, "seed": seed}
    told |= {"parameters_before": before, "data": batches(data, network).name, "seconds": time.perf_counter() - started}
    told |= {"bits": bits, "size_bits": _size_bits(network, bits, picks)}
    network.history.append(record := _record(network, choice, told))
    return record


def _check(method: str, data: Batches, strength: float, compression: float | None, guard_bits: int) -> int:
    """How many samples there are, if all settings can be."""
    if method not in GATES:
        raise SettingError("method", f"is {method!r}", remedy=f"choose {', '.join(GATES)}")
    if not strength > 0:
        raise SettingError("strength", f"is {strength}", remedy="give more than 0")
    if compression is not None and not compression >= 1:
        raise SettingError("compression", f"is {compression}", remedy="give 1 or more: how many times fewer parameters")
    if guard_bits < 0:
        raise SettingError("guard_bits", f"is {guard_bits}", remedy="give 0 or more")
    if data.samples is None:
        raise SettingError("data", "does not tell its number of samples", remedy="give (inputs, targets) or a dataset")
    return data.samples


def _checked_parameters(network: Network, method: str, compression: float | None) -> int:
    """How many parameters there are before, if the network can be pruned."""
    if any(isinstance(module, Quantizer) for module in network.module.modules()):
        raise GraphError("network", "has quantizers", remedy="prune it in floating point, and quantize it after")
    if compression is not None:
        _check_reachable(network, method, compression)
    return network.parameter_count


def _check_reachable(network: Network, method: str, compression: float) -> None:
    """See, before anything is learned, whether one unit a group is few enough."""
    posterior = Posterior(network.copy(), GATES[method], noisy=False)
    posterior.detach()
    least, wanted = parameters_left(posterior, choose(posterior, -math.inf)), network.parameter_count / compression
    if least > wanted:
        most = network.parameter_count / least
        fact = f"is {compression:g}, and with one unit left in each group there are {most:.3g} times fewer parameters"
        raise SettingError("compression", fact, remedy="give at most that")


def _record(network: Network, choice: Choice, told: dict[str, Any]) -> BayesianPruned:
    return BayesianPruned(
        threshold=choice.threshold,
        units={name: (len(keep), int(keep.sum())) for name, keep in choice.units.items()},
        inputs={path: (len(keep), int(keep.sum())) for path, keep in choice.inputs.items()},
        parameters_after=network.parameter_count,
        **told,
    )


def _learned(network: Network, method: str, weight: float, settings: dict[str, Any]) -> Posterior:
    """The posterior after training with it; it is no longer in the network."""
    posterior = Posterior(network, GATES[method], noisy=method == "normal_jeffreys")
    try:
        penalty = _Penalty(posterior, method, weight)
        train(network, penalty=penalty, factor=penalty.factor, **settings)
    finally:
        posterior.detach()
    return posterior


class _Penalty:
    """The penalty of a posterior, and how fast its parts learn.

    Args:
        posterior: the gates and noise.
        method: as `bayesian_prune`.
        weight: of the divergence.
    """

    def __init__(self, posterior: Posterior, method: str, weight: float) -> None:
        self.posterior = posterior
        self.weight = weight
        self.sizes = sizes_of(posterior, choose(posterior, math.inf)) if method == "l0" else None
        self.__qualname__ = method

    def __call__(self, _: Network, done: float) -> Tensor:
        """The penalty when a share of the steps is done, ()."""
        return self.weight * min(1.0, done / RISE) * self.posterior.divergence(self.sizes)

    def run_identity(self) -> dict[str, Any]:
        """What tells its run from others, beside the network, which has the gates."""
        return {"method": self.__qualname__, "weight": self.weight, "sizes": self.sizes}

    @staticmethod
    def factor(name: str) -> float:
        """By what a parameter's learning rate is multiplied."""
        return QUICK if name.startswith(f"{HOLDER}.") else 1.0


# What is left ---------------------------------------------------------------------------------------------------------


def _removed(
    network: Network, posterior: Posterior, compression: float | None
) -> tuple[Choice, dict[str, Tensor], dict[str, float]]:
    """What stays, after the removal of all else: chosen, where it is, and the variances of its weights."""
    choice = choose(posterior, 0.0) if compression is None else choose_within(posterior, compression)
    picks = _picks(posterior, choice)
    return choice, picks, _remove(network, posterior, choice, picks)


@torch.no_grad()
def _remove(network: Network, posterior: Posterior, choice: Choice, picks: dict[str, Tensor]) -> dict[str, float]:
    """Fold the gates into the weights and remove what goes; returns the mean variance of each noisy layer's weights."""
    noisy = network.copy()
    for path, layer in posterior.layers.items():
        mean, variance = _factor(posterior, layer)
        weight = layer.by_output(layer.stored_weight.detach())
        if path in posterior.noise:
            noise = layer.by_output(posterior.noise[path].log_variance.detach().exp())
            spread_out = marginal_variance(per_input(layer, mean), per_input(layer, variance), weight, noise)
            set_weight(noisy.layer(path), layer.in_layout(spread_out))
        set_weight(layer, layer.in_layout(weight * per_input(layer, mean)))
    for one in (network, noisy) if posterior.noise else (network,):
        _shrink(one, choice, picks)
    return {path: float(noisy.layer(path).stored_weight.mean()) for path in posterior.noise}


def _factor(posterior: Posterior, layer: Layer) -> tuple[Tensor, Tensor]:
    """The mean and variance of the factor of each of a layer's inputs, (in_channels,)."""
    mean = torch.ones(layer.in_channels, device=layer.stored_weight.device)
    second = mean.clone()
    for gate, units in posterior.factors(layer):
        one = gate.fixed().detach()
        extra = gate.log_variance.detach().exp() if isinstance(gate, NormalJeffreysGate) else torch.zeros_like(one)
        mean = mean * spread(one[None], units)[0]
        second = second * spread((one.square() + extra)[None], units)[0]
    return mean, second - mean.square()


def _picks(posterior: Posterior, choice: Choice) -> dict[str, Tensor]:
    """For each layer that picks inputs, which it picks of those that the units give that stay."""
    found = {}
    for path, keep in choice.inputs.items():
        group = next(group for group in posterior.groups.values() if path in group.readers)
        found[path] = keep[stays(choice.units[group.name], unit_of(group, posterior.layers[path]))]
    return found


def _shrink(network: Network, choice: Choice, picks: dict[str, Tensor]) -> None:
    gone = {name: (~keep).nonzero().flatten().tolist() for name, keep in choice.units.items()}
    if any(gone.values()):
        remove_channels(network, {name: units for name, units in gone.items() if units})
    for path, keep in picks.items():
        select_inputs(network, path, keep)


@torch.no_grad()
def _round(network: Network, variances: dict[str, float], guard_bits: int) -> dict[str, int]:
    """Round weights to the bits that their variance leaves, and some more; returns the bits of a weight."""
    bits = {}
    for path, variance in variances.items():
        layer = network.layer(path)
        weight = layer.stored_weight.detach()
        significant = min(23, significant_bits(variance, float(weight.abs().max())) + guard_bits)
        set_weight(layer, round_to_bits(weight, significant))
        bits[path] = significant + SIGN_AND_EXPONENT
    return bits


def _size_bits(network: Network, bits: dict[str, int], picks: dict[str, Tensor]) -> int:
    """Weights at their bits, all other parameters at 32, and a bit for each input that a layer picks from."""
    weights = {path: network.layer(path).stored_weight.numel() for path in bits}
    rest = 32 * (network.parameter_count - sum(weights.values()))
    index = sum(len(keep) for keep in picks.values() if not bool(keep.all()))
    return rest + index + sum(bits[path] * count for path, count in weights.items())
