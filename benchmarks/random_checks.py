"""What is looked at in one random network, stage by stage; the first stage that is wrong is told."""

import math
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

import microjoule as mj
from benchmarks.random_models import Drawn, random_model
from microjoule.errors import MicrojouleError

BATCHES = (1, 2, 5)
"""Numbers of samples at which network and model are compared."""

EXACT, REWRITTEN = 1e-5, 1e-3
"""The largest relative difference of a captured network, and of one whose weights were folded or equalized."""

PRECISE = replace(mj.target("onnxruntime"), weight_bits=(16,), activation_bits=(16,))
"""A target with 16 bits for everything."""

NOTHING = "has nothing that"
"""How the refusal of a network begins of which no operator runs in integer."""

CLOSE_DB = 40.0
"""What of the output is left with 16 bits, at least."""


class Finding(NamedTuple):
    """What one seed gave: an empty stage if all went well, "refused" if an error of ours says why not."""

    seed: int
    stage: str
    said: str


def check(seed: int, *, deploy: bool) -> Finding:
    """Take a random network through all stages.

    Args:
        seed: of the network.
        deploy: whether it is exported and verified, too.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of old functions and slow paddings
        return _checked(seed, STAGES if deploy else STAGES[:-1])


def _checked(seed: int, stages: Sequence[str]) -> Finding:
    subject, stage = _Subject(seed), "drawn"
    try:
        for stage in stages:
            said = str(getattr(subject, stage)())
            if said:
                return Finding(seed, stage, said)
    except MicrojouleError as error:
        if NOTHING in str(error):  # all that can be looked at was
            return Finding(seed, "", "")
        return Finding(seed, f"refused: {stage}", str(error).replace("\n", " | "))
    except Exception as error:
        return Finding(seed, stage, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
    return Finding(seed, "", "")


STAGES = ("drawn", "captured", "saved", "norms", "constants", "equalized", "noise", "precise", "deployed")
"""What is looked at, in order: each a method of `_Subject` that says what is wrong."""


class _Subject:
    """One random network and what was made of it."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.model: Drawn
        self.network: mj.Network
        self.folded: mj.Network

    def inputs(self, samples: int) -> Tensor:
        """Inputs, the same for the same number."""
        generator = torch.Generator().manual_seed(self.seed + samples)
        return torch.randn(samples, *self.model.shape, generator=generator)

    def drawn(self) -> str:
        """The model."""
        self.model = random_model(self.seed)
        return ""

    def captured(self) -> str:
        """Network and model at all batches."""
        self.network = mj.capture(self.model.model, self.inputs(2))
        return self._same(self.network, self.model.model, EXACT)

    def saved(self) -> str:
        """Written and read again."""
        return _saved(self.network, self.inputs(3))

    def norms(self) -> str:
        """Batch norms folded."""
        self.folded = self.network.copy()
        mj.fold_batch_norms(self.folded)
        return self._same(self.folded, self.network, REWRITTEN)

    def constants(self) -> str:
        """Constant channels folded."""
        network = self.folded.copy()
        mj.fold_constant_channels(network)
        return self._same(network, self.network, REWRITTEN)

    def equalized(self) -> str:
        """Ranges made even."""
        network = self.folded.copy()
        mj.equalize(network)
        return self._same(network, self.network, REWRITTEN)

    def noise(self) -> str:
        """Scaled for the least noise."""
        network = self.folded.copy()
        mj.equalize_noise(network, input_range=(-3.0, 3.0), steps=5)
        return self._same(network, self.network, REWRITTEN)

    def precise(self) -> str:
        """Weights and activations of 16 bits."""
        network = self.folded.copy()
        mj.quantize(network, target=PRECISE)
        if network.quantizers:
            mj.calibrate(network, self.inputs(16))
        return _close(network, self.network, self.inputs(16)) or _saved(network, self.inputs(3))

    def deployed(self) -> str:
        """Quantized to 8 bits, exported and verified."""
        network = self.folded.copy()
        mj.quantize(network, target="onnxruntime")
        if not network.quantizers:
            return ""
        mj.calibrate(network, self.inputs(16))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.onnx"
            mj.export(network, path)
            records = mj.verify(network, path, self.inputs(5))
        return "; ".join(f"{one.runtime}: departs at {one.first_departure}" for one in records if one.first_departure)

    def _same(self, network: Any, reference: Any, allowed: float) -> str:
        for samples in BATCHES:
            x = self.inputs(samples)
            with torch.no_grad():
                pairs = zip(_leaves(network(x)), _leaves(reference(x)), strict=True)
            for found, expected in pairs:
                if found.shape != expected.shape:
                    return f"{samples} samples give shape {tuple(found.shape)}, expected {tuple(expected.shape)}"
                differs = float((found - expected).abs().max() / (expected.abs().max() or 1.0))
                if not differs <= allowed:
                    return f"{samples} samples differ by {differs:.3g}"
        return ""


def _leaves(outputs: Any) -> list[Tensor]:
    return [leaf.detach().double() for leaf in pytree.tree_leaves(outputs) if isinstance(leaf, Tensor)]


def _saved(network: mj.Network, x: Tensor) -> str:
    with tempfile.TemporaryDirectory() as folder:
        network.save(Path(folder) / "network.mj")
        again = mj.load(Path(folder) / "network.mj")
    with torch.no_grad():
        pairs = list(zip(_leaves(again(x)), _leaves(network(x)), strict=True))
    return "" if all(torch.equal(a, b) for a, b in pairs) else "a file that was read gives other bits"


def _close(network: Any, reference: Any, x: Tensor) -> str:
    with torch.no_grad():
        pairs = list(zip(_leaves(network(x)), _leaves(reference(x)), strict=True))
    for found, expected in pairs:
        noise, power = float((found - expected).square().mean()), float(expected.square().mean())
        left = 10 * math.log10(power / noise) if noise and power else math.inf
        if not left >= CLOSE_DB:
            return f"{left:.1f} dB of an output are left"
    return ""
