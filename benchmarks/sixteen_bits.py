"""Every network of the zoo on grids of 16 bits: there rounding must not be seen, so that what is seen is a fault.

Networks with labelled data are scored, the others compared by the SQNR of their outputs on random inputs. Ranges are
the smallest and largest values of the inputs that are scored, so that nothing is clipped.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch.utils import _pytree as pytree

import microjoule as mj
from benchmarks.figure import Figure
from benchmarks.subjects import drawn
from microjoule.numerics.error import sqnr_db

BITS = 16
SAMPLES = 200
FEWER = {"deeplabv3_mnv2_pascal_tf": 16}
"""Samples of networks whose every image takes seconds."""

RANDOM = 4
"""Random inputs of a network without labelled data."""


def figures(data: Path) -> Iterator[Figure]:
    """The drop of each, or how near its outputs are.

    Args:
        data: a folder of the layout that the zoo reads.
    """
    for name in mj.zoo.names():
        yield _scored(name, data) if mj.zoo.card(name).dataset else _compared(name, data)


def _scored(name: str, data: Path) -> Figure:
    card = mj.zoo.card(name)
    assert card.dataset is not None
    assert card.metric is not None
    whole = mj.zoo.dataset(card.dataset, model=name, data=data)
    labelled = drawn(whole, FEWER.get(name, SAMPLES), seed=0)
    network = mj.capture(mj.zoo.load(name, data), labelled[0][0][None], dynamic=card.dynamic, card=card.model_card)
    before = mj.evaluate(network, labelled, card.metric, stage="fp32")
    made = mj.recipes.naive(network, labelled, target=_target())
    after = mj.evaluate(made, labelled, card.metric)
    between = mj.compare(after, before)
    told = f"{len(labelled)} samples, {between.won} won, {between.lost} lost" if between.won is not None else ""
    return Figure(f"{name} W16A16, apart from FP32", abs(after.value - before.value), before.unit, "<= 0.1", told)


def _compared(name: str, data: Path) -> Figure:
    card = mj.zoo.card(name)
    low, high = card.input_range
    shape = (RANDOM, *card.input_shape)
    inputs = low + (high - low) * torch.rand(shape, generator=torch.Generator().manual_seed(0))
    network = mj.capture(mj.zoo.load(name, data), inputs, dynamic=card.dynamic, card=card.model_card)
    made = mj.recipes.naive(network, inputs, target=_target())
    with torch.no_grad():
        pairs = zip(pytree.tree_leaves(network(inputs)), pytree.tree_leaves(made(inputs)), strict=True)
        least = min(sqnr_db(expected, found) for expected, found in pairs)
    return Figure(f"{name} W16A16, to FP32", least, "dB", ">= 60", f"the worst of its outputs, {RANDOM} random inputs")


def _target() -> mj.Target:
    """What ONNX Runtime runs in integer, as if its kernels took every width."""
    return replace(mj.target("onnxruntime"), weight_bits=(BITS,), activation_bits=(BITS,), accumulator_bits=64)
