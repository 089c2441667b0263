"""Compression alone, on a plain module, scored by a function of yours, for people who have a pipeline of their own."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn
from torch.fx import GraphModule

from microjoule.capture.export import capture
from microjoule.compression.criteria import CRITERIA
from microjoule.compression.menu import METHODS
from microjoule.errors import SettingError
from microjoule.execution.batches import batches, first
from microjoule.graph.callable import as_module
from microjoule.graph.network import Network
from microjoule.jobs.identity import option_facts
from microjoule.numerics.low_rank_shapes import Method
from microjoule.recipes.compress import budget_of
from microjoule.recipes.compression_scores import Score
from microjoule.recipes.compression_trial import WAYS, How, open_trial
from microjoule.records.measured import Evaluated

SCHEMES: dict[str, tuple[tuple[Method, ...], tuple[float, ...]]] = {
    "auto": (METHODS, WAYS),
    "low_rank": (METHODS, (0.0,)),
    "channel_pruning": ((), (1.0,)),
}
"""By name: the low-rank forms that may be used, and how much of the saving channels do."""


def compress_model(
    model: nn.Module,
    example_inputs: Any,
    *,
    eval_callback: Callable[[GraphModule], float],
    data: Any,
    scheme: str = "auto",
    macs: float | None = None,
    size: float | None = None,
    energy: float | None = None,
    latency: float | None = None,
    latency_bits: int = 32,
    multiple: int = 1,
    criterion: str = CRITERIA[0],
    samples: int = 1000,
    seed: int = 0,
    folder: str | Path | None = None,
) -> GraphModule:
    """Make a model cheaper without training, as `mj.compress` does, in one call.

    Args:
        model: any module that torch.export can trace; it is left alone.
        example_inputs: a tensor, or a tuple of positional inputs.
        eval_callback: scores a model, larger is better; it is called for the original and for each way that is tried.
        data: some hundred unlabelled inputs, mixed like the data the model will see, in any form that `batches` takes.
        scheme: "low_rank", "channel_pruning", or "auto" for both, divided in several ways of which the best is taken.
        macs: the share of multiply-accumulates to keep; exactly one of these budgets is given.
        size: the share of the weights' bytes to keep.
        energy: the share of the energy to keep, by the table of `mj.costs`.
        latency: the share of the milliseconds to keep, as measured in ONNX Runtime here, on one thread.
        latency_bits: in which networks are timed, 32 or 8; in 8 the share is of what the quantized original takes.
        multiple: widths and ranks are multiples of this; 1 for any number. In ONNX Runtime on x86 those of 8 or 16 take
            far less time at the same multiply-accumulates.
        criterion: by which channels are chosen, as in `mj.compress`.
        samples: how many inputs are used, the first ones.
        seed: of the places that are looked at.
        folder: keeps each way's score and each fitted layer; the same call goes on where it was interrupted.

    Returns:
        An ordinary module in evaluation mode, really smaller: fewer channels, and chains of factors where layers were.

    Raises:
        CaptureError: if the model cannot be traced.
        SettingError: for another scheme, unless exactly one budget is given, for one that cannot be kept, or for a
            score that is no number.
        DataError: if the data is empty, or does not fit.
        ExportError: for a latency, if the model cannot be exported.
        FileError: if the folder holds the work of another run, or cannot be written.
    """
    if scheme not in SCHEMES:
        raise SettingError("scheme", f"is {scheme!r}", remedy=f"use one of {', '.join(SCHEMES)}")
    cost, share = budget_of(macs=macs, size=size, energy=energy, latency=latency)
    how = How(*SCHEMES[scheme], multiple, seed, None if folder is None else Path(folder), criterion, latency_bits)
    network = capture(model, example_inputs)
    inputs = first(batches(data, network), samples)
    with open_trial(network, inputs, by_callback(eval_callback), cost, how) as trial:
        return as_module(trial.best(share, trial.run([share])))


def by_callback(callback: Callable[[GraphModule], float]) -> Score:
    """A function that scores a module."""
    name = str(getattr(callback, "__qualname__", type(callback).__qualname__))

    def scored(network: Network, stage: str) -> Evaluated:
        started = time.perf_counter()
        value = callback(as_module(network))
        try:
            number = float(value)
        except (TypeError, ValueError) as error:
            fact = f"gives a {type(value).__name__}, and no number"
            raise SettingError("eval_callback", fact, remedy="return a float, larger is better") from error
        if math.isnan(number):
            raise SettingError("eval_callback", "gives nan", remedy="return a float, larger is better")
        return Evaluated(stage, name, number, "", 0, "eval_callback", time.perf_counter() - started)

    return Score(name, "", "eval_callback", scored, lambda: option_facts({"eval_callback": callback}))
