"""LiteRT: running a .tflite file in its own order, and reading from the addresses of its tensors what it needs.

    pip install 'microjoule[litert]'

LiteRT lays everything that changes into one arena, and tells where each tensor lies. So what the arena takes is no
estimate: from the lowest start to the highest end. Default delegates are off, as XNNPACK has memory of its own that
nobody can look into, and takes whole stretches of the network out of the order.

Its fast kernels unfold the input of a convolution of more than one point (im2col) into a tensor that is in no file, and
lies in the arena too. The plain kernels do without. On SwiftNet that tensor alone takes 460,992 of 812,224 bytes.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from microjoule.deploy.litert_file import LiteRtModel, read_litert
from microjoule.deploy.litert_order import OPTIMIZED_KERNELS, REFERENCE_KERNELS, computation_of
from microjoule.deploy.litert_plan import ALIGNMENT_BYTES, litert_plan
from microjoule.errors import DataError, FileError, SettingError

try:
    from ai_edge_litert import interpreter as litert
except ImportError:
    litert = None

Kernels = Literal["reference", "optimized"]
ACCOUNTING = {"reference": REFERENCE_KERNELS, "optimized": OPTIMIZED_KERNELS}


@dataclass(frozen=True, slots=True)
class LiteRtArena:
    """What LiteRT's arena takes for a file, beside what was planned.

    Args:
        kernels: plain or fast ones.
        measured_bytes: by the addresses of its tensors.
        planned_bytes: by `litert_plan`, which lays tensors by the same rules.
        needed_bytes: the most that is needed in any one step; no plan takes less.
        workspaces: operators that unfold their input, and the bytes of that.
        unexplained_bytes: what the runtime added to the arena beside, each tensor's own.
        outside_bytes: what it added somewhere else, each tensor's own.
        unread: how many tensors have no address before a run, as their size is known in it alone.
    """

    kernels: str
    measured_bytes: int
    planned_bytes: int
    needed_bytes: int
    workspaces: tuple[tuple[str, int], ...]
    unexplained_bytes: tuple[int, ...]
    outside_bytes: tuple[int, ...]
    unread: int


@dataclass(frozen=True, slots=True)
class LiteRtCompared:
    """Two files that should compute the same.

    Args:
        samples: how many random inputs both got.
        identical: whether all outputs were the same, bit for bit.
        arenas: what each took.
    """

    samples: int
    identical: bool
    arenas: tuple[LiteRtArena, LiteRtArena]


def is_installed() -> bool:
    """Whether the extra `litert` is."""
    return litert is not None


def measure_litert_arena(path: str | Path, *, kernels: Kernels = "optimized") -> LiteRtArena:
    """Let LiteRT lay a file's tensors, and look where they are.

    Args:
        path: of a .tflite file.
        kernels: fast ones, or "reference" for the plain ones that take no workspace.

    Raises:
        SettingError: if the extra is not installed, or there are no such kernels.
        FileError: if there is no such file, or LiteRT does not take it.
        GraphError: as `litert_computation`.
    """
    model = read_litert(path)
    return _arena(model, _interpreter(model, kernels), kernels)


def run_litert(
    path: str | Path, inputs: Sequence[np.ndarray], *, kernels: Kernels = "optimized"
) -> tuple[np.ndarray, ...]:
    """Run one sample on one thread, without a delegate.

    Args:
        path: of a .tflite file.
        inputs: arrays of the file's shapes and types, in its order.
        kernels: as for `measure_litert_arena`.

    Raises:
        DataError: if the inputs do not fit.
        SettingError, FileError, GraphError: as `measure_litert_arena`.
    """
    model = read_litert(path)
    return _outputs(model.place, _interpreter(model, kernels), inputs)


def compare_litert(
    first: str | Path, second: str | Path, *, samples: int = 4, seed: int = 0, kernels: Kernels = "optimized"
) -> LiteRtCompared:
    """Run two files on the same random inputs, and look at every bit of their outputs.

    Args:
        first: a .tflite file.
        second: one with the same inputs, say the same in another order.
        samples: how many inputs.
        seed: of the inputs.
        kernels: as for `measure_litert_arena`.

    Raises:
        DataError: if the second takes other inputs.
        SettingError, FileError, GraphError: as `measure_litert_arena`.
    """
    if samples < 1:
        raise SettingError("samples", f"is {samples}", remedy="use at least 1")
    models = read_litert(first), read_litert(second)
    opened = [_interpreter(model, kernels) for model in models]
    random = np.random.default_rng(seed)
    same = True
    for _ in range(samples):
        inputs = [_random(entry, random) for entry in opened[0].get_input_details()]
        found = [_outputs(model.place, one, inputs) for model, one in zip(models, opened, strict=True)]
        same = same and _identical(*found)
    arenas = [_arena(model, one, kernels) for model, one in zip(models, opened, strict=True)]
    return LiteRtCompared(samples, same, (arenas[0], arenas[1]))


def _interpreter(model: LiteRtModel, kernels: Kernels) -> Any:
    if litert is None:
        raise SettingError("LiteRT", "is not installed", remedy="run: pip install 'microjoule[litert]'")
    if kernels not in ACCOUNTING:
        raise SettingError("kernels", f"is {kernels!r}", remedy=f"use one of {', '.join(ACCOUNTING)}")
    resolvers = litert.OpResolverType
    resolver = resolvers.BUILTIN_REF if kernels == "reference" else resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    try:
        opened = litert.Interpreter(model_content=model.content, experimental_op_resolver_type=resolver, num_threads=1)
        opened.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise FileError(model.place, f"LiteRT does not take it: {reason}", remedy="convert it again") from error
    return opened


def _outputs(place: str, opened: Any, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    entries = opened.get_input_details()
    wanted = [(tuple(int(size) for size in entry["shape"]), np.dtype(entry["dtype"])) for entry in entries]
    given = [(array.shape, array.dtype) for array in inputs]
    if given != wanted:
        fact = f"takes inputs of {_shapes(wanted)}, and gets {_shapes(given)}"
        raise DataError(place, fact, remedy="give one array for each input, of its shape and type")
    for entry, array in zip(entries, inputs, strict=True):
        opened.set_tensor(entry["index"], array)
    opened.invoke()
    return tuple(opened.get_tensor(entry["index"]) for entry in opened.get_output_details())


def _arena(model: LiteRtModel, opened: Any, kernels: Kernels) -> LiteRtArena:
    computation = computation_of(model, ACCOUNTING[kernels])
    plan = litert_plan(computation)
    filed, unread = _places(opened, _changing(model))
    added, unread_too = _places(opened, range(len(model.tensors), len(opened.get_tensor_details())))
    whole = _grown((min(low for low, _ in filed), max(high for _, high in filed)) if filed else (0, 0), added)
    outside = [high - low for low, high in added if not whole[0] <= low < whole[1]]
    workspaces = [(one.name, one.workspace_bytes) for one in computation.operators if one.workspace_bytes]
    inside = [high - low for low, high in added if whole[0] <= low < whole[1]]
    unexplained = Counter(inside) - Counter(size for _, size in workspaces)
    return LiteRtArena(
        kernels,
        whole[1] - whole[0],
        plan.arena_bytes,
        plan.needed_bytes,
        tuple(workspaces),
        tuple(unexplained.elements()),
        tuple(outside),
        unread + unread_too,
    )


def _changing(model: LiteRtModel) -> list[int]:
    """The tensors that lie in the arena: what the caller gives and operators make; a state lies elsewhere."""
    used = {*model.inputs, *(one for operator in model.operators for one in operator.outputs)}
    return sorted(one for one in used if not model.tensors[one].is_constant and not model.tensors[one].is_state)


def _places(opened: Any, tensors: Iterable[int]) -> tuple[list[tuple[int, int]], int]:
    """Where tensors start and end, and how many have no address: single numbers, and those of sizes not yet known."""
    found, unread = [], 0
    for index in tensors:
        try:
            view = opened.tensor(index)()
        except ValueError:
            unread += 1
            continue
        if not isinstance(view, np.ndarray):
            unread += 1
        elif view.nbytes:
            found.append((view.ctypes.data, view.ctypes.data + view.nbytes))
    return found, unread


def _grown(whole: tuple[int, int], added: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The arena with what the runtime added to it: what overlaps it, or lies next to it but for the alignment."""
    low, high = whole
    for start, end in [*sorted(added), *sorted(added, reverse=True)]:  # upwards, then downwards
        if start < high + ALIGNMENT_BYTES and low < end + ALIGNMENT_BYTES:
            low, high = min(low, start), max(high, end)
    return low, high


def _random(entry: dict[str, Any], random: np.random.Generator) -> np.ndarray:
    """Any value of the type; reals are normal."""
    shape, kind = tuple(int(size) for size in entry["shape"]), np.dtype(entry["dtype"])
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        return random.integers(limits.min, limits.max, shape, kind, endpoint=True)
    if kind.kind == "b":
        return random.integers(0, 2, shape).astype(kind)
    return random.standard_normal(shape).astype(kind)


def _identical(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> bool:
    """Whether shapes, types and bytes are the same."""
    return [(one.shape, one.dtype, one.tobytes()) for one in first] == [
        (one.shape, one.dtype, one.tobytes()) for one in second
    ]


def _shapes(entries: Sequence[tuple[tuple[int, ...], np.dtype[Any]]]) -> str:
    return ", ".join(f"{list(shape)} {kind}" for shape, kind in entries) or "nothing"
