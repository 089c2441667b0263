"""The score of a network in which one layer alone has another weight, for every layer and several weights of each.

What comes before a layer is run once for all of its weights.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import Interpreter, Node
from torch.utils import _pytree as pytree

import microjoule as mj
from microjoule.graph.edit import bias_of, set_bias, set_weight
from microjoule.graph.ops import Layer

RATIOS = tuple(tenth / 10 for tenth in range(1, 10))
"""Candidates of every layer."""

AT_ONCE = 10
"""Images; all of their values in the network are held."""

Weights = tuple[Tensor, Tensor | None]
"""A layer's weight, and its bias or None to leave it."""

Scores = dict[str, dict[float, float]]
"""Layer -> ratio -> the share of right answers with that layer alone changed."""


@dataclass(frozen=True, slots=True)
class Images:
    """What a recipe may look at.

    Args:
        inputs: (n, ...), for regression.
        labels: (n,), classes.
        scored: how many of them score a candidate: the first ones.
    """

    inputs: Tensor
    labels: Tensor
    scored: int


def score_alone(network: mj.Network, images: Images, weights: Mapping[str, Mapping[float, Weights]]) -> Scores:
    """The share of right answers with each weight alone; the network stays as it is.

    Args:
        network: that gives scores of classes.
        images: of which some are scored.
        weights: layer -> ratio -> what it becomes.
    """
    right = {path: dict.fromkeys(each, 0) for path, each in weights.items()}
    inputs, labels = images.inputs[: images.scored], images.labels[: images.scored]
    with torch.no_grad():
        for part, wanted in zip(inputs.split(AT_ONCE), labels.split(AT_ONCE), strict=True):
            _Scoring(network, weights, right, wanted).run(part, enable_io_processing=False)
    return {path: {ratio: count / len(inputs) for ratio, count in each.items()} for path, each in right.items()}


class _Scoring(Interpreter):
    """Runs a batch through; before a layer with other weights it runs what is left of the network with each of them."""

    def __init__(
        self,
        network: mj.Network,
        weights: Mapping[str, Mapping[float, Weights]],
        right: dict[str, dict[float, int]],
        labels: Tensor,
    ) -> None:
        self.network = network
        super().__init__(network.module, garbage_collect_values=False)
        self.layers = {layer.node: layer for layer in network.layers if layer.path in weights}
        self.weights, self.right, self.labels = weights, right, labels

    def run_node(self, n: Node) -> Any:
        """One node, and before it the rest with each other weight."""
        layer = self.layers.get(n)
        if layer is not None:
            for ratio, weight in self.weights[layer.path].items():
                with _changed(self.network, layer, *weight):
                    rest = Interpreter(self.module)
                    found = rest.run(initial_env=dict(self.env), enable_io_processing=False)
                answers = pytree.tree_leaves(found)[0].argmax(1)
                self.right[layer.path][ratio] += int((answers == self.labels).sum())
        return super().run_node(n)


@contextmanager
def _changed(network: mj.Network, layer: Layer, weight: Tensor, bias: Tensor | None) -> Iterator[None]:
    """A layer with another weight and bias for a while."""
    before, bias_before = layer.stored_weight.detach().clone(), bias_of(layer).clone()
    set_weight(layer, weight)
    if bias is not None:
        set_bias(network, layer, bias)
    try:
        yield
    finally:
        set_weight(layer, before)
        if bias is not None:
            set_bias(network, layer, bias_before)
