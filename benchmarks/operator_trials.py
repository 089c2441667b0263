"""Cases of operators on their way from PyTorch to integers, and what becomes of them at each step.

An operator stands between two others that run in integer: before it a linear layer that only permutes, which 8 bits
hold exactly and which keeps the range of what it reads, and behind it an addition. Alone, most operators would be
refused as there is nothing to quantize. Writing a file takes torch's exporter a second or two whatever is in it, so
the cases of a group go into one file; where that is refused or differs, into one for each half of them.
"""

import functools
import math
import tempfile
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import microjoule as mj
from benchmarks.operator_cases import Case
from microjoule.costs.target import Target
from microjoule.costs.target import target as find_target
from microjoule.deploy.session import open_session, read_model, run_session
from microjoule.deploy.verify import INTEGER_RUNNER, ONNX_RUNTIME
from microjoule.errors import MicrojouleError
from microjoule.execution.run import run
from microjoule.graph.network import Network

EQUAL_DB, SIXTEEN_BIT_DB = 90.0, 50.0
"""How near floating point is to floating point, and 16-bit weights and activations."""

SAME, REFUSED, DIFFERENT, BROKEN = "same", "refused", "different", "broken"
"""What becomes of a step; broken is another error than a refusal."""

CAPTURED, BATCH, SIMULATED, RUNNER, EXPORTED, DEPLOYED = STEPS = (
    "captured",
    "another batch",
    "simulated in 16 bits",
    "integer runner",
    "exported in floating point",
    "deployed in 8 bits",
)

PLACES = frozenset(("sort", "argsort", "topk", "argmax", "argmin", "max", "min", "kthvalue", "median", "mode"))
"""Operators that say where a value is: of equal integers, either may be named."""

FAR_DB = 20.0
"""Real outputs of these are to be nearer."""

SAMPLES = 5
"""What the integers are compared on."""

Outcomes = dict[str, str]
"""By step; after a colon what there is to say of it."""


@functools.cache
def sixteen_bits() -> Target:
    """The target that runs most operators in integer, with 16 bits for all values."""
    known = find_target("qualcomm-htp")
    return replace(known, name="sixteen bits", weight_bits=(16,), activation_bits=(16,))


class Framed(nn.Module):
    """A case's operator behind permutations of its real inputs, and before additions.

    Args:
        case: of an operator.
    """

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.operator = case.module()
        self.before = nn.ModuleList(
            _permutation(x.shape[-1]) if x.is_floating_point() and x.dim() else nn.Identity() for x in case.inputs()
        )

    def forward(self, *inputs: Tensor) -> Any:
        """What the operator gives, twice as large where it is real.

        Args:
            inputs: the case's tensors, any shape.
        """
        outputs = self.operator(*(layer(x) for layer, x in zip(self.before, inputs, strict=True)))
        return pytree.tree_map_only(Tensor, lambda y: y + y if y.is_floating_point() else y, outputs)


def _permutation(size: int) -> nn.Linear:
    """Each entry moves on by one."""
    layer = nn.Linear(size, size, bias=False)
    layer.weight = nn.Parameter(torch.eye(size).roll(1, 0))
    return layer


class Together(nn.Module):
    """Several models side by side, which read the inputs of the first, then those of the second, and so on.

    Args:
        models: of the cases.
        counts: how many inputs each reads.
    """

    def __init__(self, models: Iterable[nn.Module], counts: Sequence[int]) -> None:
        super().__init__()
        self.models, self.counts = nn.ModuleList(models), tuple(counts)

    def forward(self, *inputs: Tensor) -> list[list[Tensor]]:
        """The tensors that each gives.

        Args:
            inputs: all cases' tensors, any shape.
        """
        left = iter(inputs)
        return [
            _tensors(model(*(next(left) for _ in range(count))))
            for model, count in zip(self.models, self.counts, strict=True)
        ]


class Trial:
    """A case on its way alone, up to its file.

    Args:
        case: of an operator.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        self.model = Framed(case).eval()
        self.inputs = case.inputs()
        self.found: Outcomes = {}

    def go(self) -> None:
        """Take every step that needs no file."""
        self.found[CAPTURED] = _outcome(self._captured)
        if self.found[CAPTURED] != SAME:
            return
        self.found[BATCH] = _outcome(self._batch)
        self.found[SIMULATED] = _outcome(self._simulated)
        self.found[RUNNER] = _outcome(self._integers)

    def _captured(self) -> str:
        self.network = mj.capture(self.model, self.inputs)
        others = self.case.inputs(seed=1)
        return judged(self.model(*others), run(self.network, others), EQUAL_DB)

    def _batch(self) -> str:
        others = self.case.inputs(samples=3, seed=2)
        try:
            expected = self.model(*others)
        except RuntimeError:
            return SAME  # PyTorch itself does not take another batch
        return judged(expected, run(self.network, others), EQUAL_DB)

    def _simulated(self) -> str:
        wide = mj.recipes.naive(self.network, [self.inputs], target=sixteen_bits())
        return judged(run(self.network, self.inputs), run(wide, self.inputs), SIXTEEN_BIT_DB, reals_alone=True)

    def _integers(self) -> str:
        quantized = mj.recipes.naive(self.network, [self.inputs])
        return _verified(quantized, Path(), self.data(), INTEGER_RUNNER)

    def data(self) -> tuple[Tensor, ...]:
        """What integers are compared on: several samples where the network takes them."""
        return self.case.inputs(samples=SAMPLES if self.network.dynamic_batch else None, seed=3)

    @property
    def neighbours(self) -> tuple[bool, int]:
        """What those have in common that may share a file."""
        first = self.inputs[0] if self.inputs else torch.zeros(())
        return self.network.dynamic_batch, first.shape[0] if first.dim() else 0


def outcomes(cases: Sequence[Case], refused: set[str] | None = None) -> dict[str, Outcomes]:
    """What becomes of each case at each step that it comes to, by its name.

    Args:
        cases: of operators.
        refused: operators of which a case was refused in a file, which spoil no other's; those found here are added.
    """
    refused = set() if refused is None else refused
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trials = [Trial(case) for case in cases]
        for trial in trials:
            trial.go()
        groups: dict[tuple[bool, int], list[Trial]] = {}
        for trial in trials:
            if trial.found[CAPTURED] == SAME:
                groups.setdefault(trial.neighbours, []).append(trial)
        for group in groups.values():
            _in_files(group, EXPORTED, _exported, refused)
            _in_files([trial for trial in group if _has_integers(trial)], DEPLOYED, _deployed, refused)
    return {trial.case.name: trial.found for trial in trials}


def _has_integers(trial: Trial) -> bool:
    """Whether it was quantized; what the runner has no integer form for the file may have."""
    found = trial.found[RUNNER]
    return not found.startswith(REFUSED) or "integer form" in found


Act = Callable[[Sequence[Trial], Network, tuple[Tensor, ...], Path], list[str]]
"""Trials, their network, its data, where its file may be -> outcomes."""


def _in_files(trials: Sequence[Trial], step: str, act: Act, refused: set[str]) -> None:
    """What becomes of trials in one file, and of those whose operator was refused before in one each."""
    alone = [trial for trial in trials if trial.case.operator.name in refused]
    for group in ([trial for trial in trials if trial not in alone], *([trial] for trial in alone)):
        _in_one_file(group, step, act)
    refused |= {trial.case.operator.name for trial in trials if trial.found[step].startswith(REFUSED)}


def _in_one_file(trials: Sequence[Trial], step: str, act: Act) -> None:
    """What becomes of trials together; where that is not well, of each half."""
    if not trials:
        return
    found: list[str] = []

    def tried() -> str:
        model = Together((trial.model for trial in trials), [len(trial.inputs) for trial in trials]).eval()
        example = tuple(x for trial in trials for x in trial.inputs)
        data = tuple(x for trial in trials for x in trial.data())
        with tempfile.TemporaryDirectory() as folder:
            found.extend(act(trials, mj.capture(model, example), data, Path(folder) / "model.onnx"))
        return SAME

    whole = _outcome(tried)
    if len(trials) == 1 or (whole == SAME and set(found) == {SAME}):
        for trial, outcome in zip(trials, found or [whole], strict=True):
            trial.found[step] = outcome
        return
    middle = len(trials) // 2
    for half in (trials[:middle], trials[middle:]):
        _in_one_file(half, step, act)


def _exported(_trials: Sequence[Trial], network: Network, data: tuple[Tensor, ...], path: Path) -> list[str]:
    """The file in floating point is the network."""
    mj.export(network, path)
    session = open_session(read_model(path).SerializeToString(), str(path))
    left = iter(run_session(session, data, None))
    return [
        judged(expected, [torch.from_numpy(next(left)) for _ in expected], EQUAL_DB) for expected in run(network, data)
    ]


def _deployed(trials: Sequence[Trial], network: Network, data: tuple[Tensor, ...], path: Path) -> list[str]:
    """The file in integers is the quantized network."""
    quantized = mj.recipes.naive(network, [network.example.args])
    mj.export(quantized, path)
    places = any(trial.case.operator.name.partition(".")[0] in PLACES for trial in trials)
    return [_verified(quantized, path, data, ONNX_RUNTIME, places=places)] * len(trials)


def _verified(quantized: Network, path: Path, data: tuple[Tensor, ...], runtime: str, *, places: bool = False) -> str:
    (record,) = mj.verify(quantized, path, [data], runtimes=[runtime])
    tied = (
        places
        and record.first_departure is None
        and all(one.sqnr_db is None or one.sqnr_db > FAR_DB for one in record.outputs)
    )
    if record.passed or tied:
        return SAME
    return f"{DIFFERENT}: {record.first_departure or 'no layer'} departs; {'; '.join(record.problems)}"


def _outcome(act: Callable[[], str]) -> str:
    try:
        return act()
    except MicrojouleError as error:
        return f"{REFUSED}: {error}"
    except Exception as error:  # whatever it is, it is what is looked for
        return f"{BROKEN}: {type(error).__name__}: {error}"


# Judgement ------------------------------------------------------------------------------------------------------------


def judged(expected: Any, got: Any, least_db: float, *, reals_alone: bool = False) -> str:
    """Whether outputs are those that they should be: shapes and integers equal, numbers near enough.

    Args:
        expected: tensors in any structure.
        got: likewise.
        least_db: how near real numbers are, at least.
        reals_alone: integers and truth values are not looked at but for their shapes: one step of a grid changes them.
    """
    wanted, found = (_tensors(outputs) for outputs in (expected, got))
    if len(wanted) != len(found):
        return f"{DIFFERENT}: {len(wanted)} outputs, {len(found)} here"
    for one, other in zip(wanted, found, strict=True):
        if one.shape != other.shape or one.dtype != other.dtype:
            described = " and ".join(f"{tuple(x.shape)} of {x.dtype}" for x in (one, other))
            return f"{DIFFERENT}: {described}"
        if one.is_floating_point():
            near = sqnr_db(one, other)
            if near < least_db:
                return f"{DIFFERENT}: {near:.1f} dB"
        elif not reals_alone and not torch.equal(one, other):
            return f"{DIFFERENT}: {int((one != other).sum())} of {one.numel()} integers"
    return SAME


def _tensors(outputs: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(outputs) if isinstance(leaf, Tensor)]


def sqnr_db(reference: Tensor, value: Tensor) -> float:
    """The power of a reference over that of the difference; minus infinity where only one of both is finite.

    Args:
        reference: any shape.
        value: the shape of `reference`.
    """
    one, other = reference.double(), value.double()
    finite = torch.isfinite(one)
    if not torch.equal(finite, torch.isfinite(other)):
        return -math.inf
    if not torch.equal(one[~finite].nan_to_num(nan=0.0), other[~finite].nan_to_num(nan=0.0)):
        return -math.inf
    noise, signal = float((one[finite] - other[finite]).square().sum()), float(one[finite].square().sum())
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf
