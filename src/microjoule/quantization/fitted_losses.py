"""What each width costs where rounding is fitted: measured, with one quantizer on and all others off.

A method that fits the rounding, such as GPTQ, leaves a small part of what rounding to nearest does to the outputs, and
not the same part of every layer's. So bits that are chosen for rounding to nearest go where they are not needed. Here
each layer is fitted at each width that it may get, to what it reads and gives in floating point. With that layer
alone rounded, each sample's outputs are compared with those in floating point: KL(p(0) || p(e)) in nats where they are
scores of classes, and half the squared error where not. These are the units of `fisher.estimates`.

Source: Pandey et al. 2023, A Practical Mixed Precision Algorithm for Post-Training Quantization,
https://arxiv.org/abs/2302.05397, section 3: each group alone, by the signal-to-noise ratio of outputs, to nearest.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from microjoule.execution.batches import Batches, batches, rest
from microjoule.execution.fitted import Fitted
from microjoule.execution.progress import track
from microjoule.execution.reconstruct import Look, Rows, reconstruct
from microjoule.execution.run import run, unquantized
from microjoule.graph.edit import bias_of, set_bias
from microjoule.graph.network import Network
from microjoule.numerics.divergence import class_divergence
from microjoule.quantization.alone import alone
from microjoule.quantization.fisher import single_samples
from microjoule.quantization.layer_fit import Problem, cannot_fit
from microjoule.quantization.sensitivity import Grid, Reference, output_tensors

Fit = Callable[[Problem], Fitted]
"""Rounds one layer's weights, biases along."""

ENOUGH = 2
"""Layers are fitted to other samples than those that are measured, if there are this many times as many in all.

A layer with more inputs than there are samples, as classifiers are, seems to lose nothing on those it was fitted to."""


def fitted_losses(
    network: Network, grids: Mapping[str, Grid], exact: Reference, *, data: Any, fit: Fit, seed: int = 0
) -> dict[str, float]:
    """What each grid alone does to the outputs: nats a sample, or half a squared error a sample.

    A value, and a weight that cannot be fitted as several calls share it, is rounded to nearest.

    Args:
        network: that holds the quantizers; afterwards layers that had no bias have one of zeros.
        grids: by any names.
        exact: the samples to measure on, the first ones of `data`.
        data: inputs to fit to, in any form that `batches` takes; those that are measured are left out if enough remain.
        fit: rounds a layer on one grid.
        seed: of the places of the layers' outputs that are looked at.
    """
    source = batches(data, network)
    if source.samples is not None and source.samples >= ENOUGH * exact.samples:
        source = rest(source, exact.samples)
    with unquantized(network):
        fitted = _fitted(network, source, grids, fit, Look(seed=seed))
        pieces = [(inputs, output_tensors(run(network, inputs))) for inputs in single_samples(network, exact)]
        lost = _divergence if exact.has_classes else _half_square
        found = {}
        for name, grid in track(grids.items(), "one quantizer alone", total=len(grids)):
            with _rounded(network, grid, fitted.get(name)):
                found[name] = math.fsum(
                    lost(one, other)
                    for inputs, wanted in pieces
                    for one, other in zip(wanted, output_tensors(run(network, inputs)), strict=True)
                )
    return {name: total / exact.samples for name, total in found.items()}


def _divergence(exact: Tensor, value: Tensor) -> float:
    return class_divergence(exact, value).sum().item()


def _half_square(exact: Tensor, value: Tensor) -> float:
    return (value.double() - exact.double()).square().sum().item() / 2


def _fitted(network: Network, source: Batches, grids: Mapping[str, Grid], fit: Fit, look: Look) -> dict[str, Fitted]:
    """What each layer becomes on each of its grids, in one pass through the data; the network computes as before."""
    mine: dict[str, dict[str, Grid]] = {}
    for name, (site, affine) in grids.items():
        if site.layer is not None and not cannot_fit(network, site.layer):
            mine.setdefault(site.path, {})[name] = (site, affine)
    found: dict[str, Fitted] = {}

    def fit_each(rows: Rows) -> Fitted:
        quantizer = rows.layer.quantizer
        assert quantizer is not None
        own = quantizer.affine
        for name, (_, affine) in mine[rows.layer.path].items():
            quantizer.set_affine(affine)
            found[name] = fit(Problem.of(rows))
        quantizer.set_affine(own)
        return replace(found[name], bias=bias_of(rows.layer).clone())

    layers = [layer for layer in network.layers if layer.path in mine]
    reconstruct(network, source, layers, fit_each, look)
    for layer in layers:
        assert layer.quantizer is not None
        layer.quantizer.release()
    return found


@contextlib.contextmanager
def _rounded(network: Network, grid: Grid, fitted: Fitted | None) -> Iterator[None]:
    """Within it, one quantizer is on: a fitted weight with its bias, anything else rounded to nearest."""
    site, affine = grid
    with alone(network, site, affine):
        if site.layer is None or fitted is None:
            yield
            return
        bias = bias_of(site.layer).clone()
        assert fitted.integers is not None
        site.quantizer.hold(fitted.integers)
        set_bias(network, site.layer, fitted.bias)
        try:
            yield
        finally:
            set_bias(network, site.layer, bias)
