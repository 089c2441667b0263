"""Operators x attributes: each ATen overload with its attributes off their defaults; captured, simulated, exported and in integers.

A case is one overload with values for its attributes; what PyTorch itself refuses is none. At each step the outputs are
what they were at the step before, or the step is refused with place, fact and remedy. A step that gives something else
is a silent difference, of which there are to be none. What is found is kept in the system's folder for temporary files,
so that an interrupted benchmark goes on where it was.
"""

import json
import math
import os
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

import microjoule as mj
from benchmarks.figure import Figure
from benchmarks.operator_cases import Case
from benchmarks.operators_of_images import IMAGES
from benchmarks.operators_of_layers import LAYERS
from benchmarks.operators_of_shapes import SHAPES
from benchmarks.operators_of_values import VALUES
from benchmarks.partial_results import state_of
from microjoule.errors import MicrojouleError
from microjoule.execution.tasks import Jobs, Work, run_tasks
from microjoule.jobs.identity import Identity, option_facts
from microjoule.jobs.run_folder import RunFolder

OPERATORS = (*LAYERS, *IMAGES, *SHAPES, *VALUES)

EQUAL_DB, SIXTEEN_BIT_DB = 90.0, 25.0
"""How near floating point is to floating point, and 16-bit activations with 8-bit weights."""

SAME, REFUSED, DIFFERENT, BROKEN = "same", "refused", "different", "broken"
"""What becomes of a step; broken is another error than a refusal."""

STEPS = ("captured", "another batch", "exported", "simulated", "in integers")

MET_IN_MODELS = Path(__file__).parent / "results" / "overloads.json"
"""Every overload that a model of `coverage` was captured to."""


def figures(data: Path) -> Iterator[Figure]:
    """How many cases come out alike, are refused, or differ, at each step.

    Args:
        data: is not read; its name tells results of one state from another's.
    """
    place = Path(tempfile.gettempdir()) / "microjoule-operators"
    names = list(cases())
    with RunFolder(place, lambda: Identity.of(option_facts({"state": state_of(data)}))) as kept:
        found = run_tasks(_work, names, kept, _parsed, label="operators", jobs=Jobs(os.cpu_count() or 1))
    yield from told(found)
    met = json.loads(MET_IN_MODELS.read_text(encoding="utf-8"))
    without = sorted(set(met) - {operator.name for operator in OPERATORS})
    yield Figure("overloads met in models that no case tries", len(without), "overloads", "== 0", ", ".join(without))


def cases() -> dict[str, Case]:
    """Every case that PyTorch takes, by name."""
    return {case.name: case for operator in OPERATORS for case in operator.cases() if _is_one(case)}


def _is_one(case: Case) -> bool:
    """Whether PyTorch computes a case."""
    try:
        case.module()(*case.inputs())
    except (RuntimeError, IndexError, ValueError):
        return False
    return True


def told(found: Mapping[str, Mapping[str, str]]) -> Iterator[Figure]:
    """What the outcomes say.

    Args:
        found: by case and step, the outcome, and after a colon what there is to say of it.
    """
    yield Figure(
        "cases", len(found), "cases", None, f"{len(OPERATORS)} entries, {len({o.name for o in OPERATORS})} overloads"
    )
    for step in STEPS:
        outcomes = {case: one[step].partition(":")[0] for case, one in found.items() if step in one}
        counts = Counter(outcomes.values())
        wrong = [case for case, outcome in outcomes.items() if outcome in (DIFFERENT, BROKEN)]
        compared = f"{counts[SAME]:,} the same, {counts[REFUSED]:,} refused; {', '.join(wrong[:5]) or 'none'}"
        yield Figure(f"{step}, silent differences", len(wrong), f"of {len(outcomes):,} cases", "== 0", compared)


def _work() -> Work:
    torch.set_num_threads(1)
    known = {case.name: case for operator in OPERATORS for case in operator.cases()}
    return lambda name: json.dumps(outcomes(known[name]))


def _parsed(text: str) -> dict[str, str]:
    content = json.loads(text)
    if not isinstance(content, dict):
        raise TypeError("it is no object")
    return content


# One case -------------------------------------------------------------------------------------------------------------


def outcomes(case: Case) -> dict[str, str]:
    """What becomes of a case at each step, up to the first that is not the same.

    Args:
        case: of an operator.
    """
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trial = _Trial(case, Path(folder))
        for step, act in zip(
            STEPS, (trial.captured, trial.batch, trial.exported, trial.simulated, trial.integers), strict=True
        ):
            found[step] = _outcome(act)
            if step == STEPS[0] and found[step] != SAME:
                break
    return found


def _outcome(act: Callable[[], str]) -> str:
    try:
        return act()
    except MicrojouleError as error:
        return f"{REFUSED}: {error}"
    except Exception as error:  # whatever it is, it is what is looked for
        return f"{BROKEN}: {type(error).__name__}: {error}"


class _Trial:
    """A case on its way."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case, self.folder = case, folder
        self.model = case.module().eval()
        self.inputs = case.inputs(seed=0)

    def captured(self) -> str:
        """The network is the model, on other values."""
        self.network = mj.capture(self.model, self.inputs)
        others = self.case.inputs(seed=1)
        return _judged(self.model(*others), self.network(*others), EQUAL_DB)

    def batch(self) -> str:
        """The same on three samples, where the network takes them."""
        others = self.case.inputs(samples=3, seed=2)
        return _judged(self.model(*others), self.network(*others), EQUAL_DB)

    def exported(self) -> str:
        """The file in floating point is the network."""
        path = self.folder / "float.onnx"
        mj.export(self.network.copy(), path)
        return _judged(self.network(*self.inputs), in_runtime(path, self.inputs), EQUAL_DB)

    def simulated(self) -> str:
        """With 16 bits the quantized network is the network."""
        wide = mj.recipes.naive(self.network, [self.inputs], target="qualcomm-htp", weights=8, activations=16)
        return _judged(self.network(*self.inputs), wide(*self.inputs), SIXTEEN_BIT_DB)

    def integers(self) -> str:
        """With 8 bits the file, and the integer runner where it can, are the quantized network."""
        path = self.folder / "int8.onnx"
        quantized = mj.recipes.naive(self.network, [self.inputs])
        mj.export(quantized, path)
        if not quantized.quantizers:
            return _judged(quantized(*self.inputs), in_runtime(path, self.inputs), EQUAL_DB)
        records = mj.verify(quantized, path, [self.inputs])
        problems = [
            f"{record.runtime}: {record.first_departure or ''} {'; '.join(record.problems)}"
            for record in records
            if not record.passed
        ]
        return f"{DIFFERENT}: {problems}" if problems else SAME


def in_runtime(path: Path, inputs: Sequence[Tensor]) -> list[Tensor]:
    """What ONNX Runtime gives for a file.

    Args:
        path: of the file.
        inputs: tensors of any shape, in the file's order.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    fed = {entry.name: tensor.numpy() for entry, tensor in zip(session.get_inputs(), inputs, strict=True)}
    return [torch.from_numpy(np.asarray(output)) for output in session.run(None, fed)]


def _judged(expected: Any, got: Any, least_db: float) -> str:
    """Whether outputs are those that they should be: shapes and integers equal, numbers near enough."""
    wanted, found = (_tensors(outputs) for outputs in (expected, got))
    if len(wanted) != len(found):
        return f"{DIFFERENT}: {len(wanted)} outputs, {len(found)} here"
    for one, other in zip(wanted, found, strict=True):
        if one.shape != other.shape:
            return f"{DIFFERENT}: {tuple(one.shape)}, {tuple(other.shape)} here"
        if not one.is_floating_point() or one.dtype == torch.bool:
            if least_db == EQUAL_DB and not torch.equal(one.to(other.dtype), other):
                return f"{DIFFERENT}: {int((one.to(other.dtype) != other).sum())} of {one.numel()} integers"
            continue
        near = sqnr_db(one, other)
        if near < least_db:
            return f"{DIFFERENT}: {near:.1f} dB"
    return SAME


def _tensors(outputs: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(outputs) if isinstance(leaf, Tensor)]


def sqnr_db(reference: Tensor, value: Tensor) -> float:
    """The power of a reference over that of the difference; infinite for equal ones, minus infinite where one is not finite.

    Args:
        reference: any shape.
        value: the shape of `reference`.
    """
    one, other = reference.double(), value.double()
    if not torch.equal(torch.isfinite(one), torch.isfinite(other)):
        return -math.inf
    finite = torch.isfinite(one)
    if not torch.equal(one[~finite].nan_to_num(nan=0.0), other[~finite].nan_to_num(nan=0.0)):
        return -math.inf
    noise, signal = float((one[finite] - other[finite]).square().sum()), float(one[finite].square().sum())
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf
