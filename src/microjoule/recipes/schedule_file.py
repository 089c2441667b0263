"""Files for runtimes, with their operators in the order that takes the least memory; nothing goes through PyTorch."""

import tempfile
from functools import partial
from pathlib import Path

from microjoule.deploy.litert_order import OPTIMIZED_KERNELS, litert_computation, write_litert_order
from microjoule.deploy.litert_run import compare_litert, is_installed
from microjoule.deploy.onnx_order import has_quantizers, onnx_computation, write_onnx_order
from microjoule.deploy.onnx_order_run import compare_onnx
from microjoule.errors import FileError
from microjoule.records.files import check_places, write_atomically
from microjoule.records.scheduled import RanInOrder, Scheduled
from microjoule.scheduling.order import Watch
from microjoule.scheduling.planned import planned

SUFFIXES = (".onnx", ".tflite")
"""Of the files that can be ordered, in small letters."""

SAMPLES = 4
"""Random inputs on which both files are run."""

UNFUSED = (
    "The arena holds what the nodes make, not the inputs, nor what kernels take while they run. A session keeps to "
    "the file's order if it asks for execution order PRIORITY_BASED and optimizes nothing."
)
FUSED = (
    "The plan holds integers, as a runtime does that fuses quantizers into operators. To keep to the file's order ONNX "
    "Runtime must not fuse them; its arena then holds real numbers as well, so it is not compared with the plan."
)

Search = partial[tuple[tuple[int, ...], Scheduled]]
"""`planned` with its limits."""


def schedule_file(
    path: str | Path,
    out: str | Path,
    *,
    seconds: float | None = None,
    batch: int = 1,
    alignment: int = 1,
    watch: Watch | None = None,
) -> tuple[Scheduled, RanInOrder | None]:
    """Put the operators of an ONNX or LiteRT file in the order that takes the least memory, and run both files.

    Args:
        path: of a file that ends in .onnx or .tflite.
        out: where to write, once the runtime has run both and all outputs were the same; else nothing is written.
        seconds: when to stop looking for an order; the best that was found by then is taken, with a bound.
        batch: how many samples, where an ONNX file leaves that open.
        alignment: of every value in the planned arena, in bytes.
        watch: is told how far the search is: best peak, lower bound, states.

    Returns:
        What was found, and how the runtime took it; None where LiteRT is not installed.

    Raises:
        FileError: for another kind of file, one that is damaged, or one that cannot be written.
        GraphError: for a network whose order is not free.
    """
    place, kind = Path(path), Path(path).suffix.lower()
    if kind not in SUFFIXES:
        remedy = "give an .onnx or a .tflite file; mj.schedule(network) orders a network of microjoule's"
        raise FileError(str(place), "is no file for a runtime whose order can be set", remedy=remedy)
    check_places([out])
    search = partial(planned, seconds=seconds, alignment=alignment, watch=watch)
    return _onnx(place, Path(out), search, batch) if kind == ".onnx" else _litert(place, Path(out), search)


def _onnx(path: Path, out: Path, search: Search, batch: int) -> tuple[Scheduled, RanInOrder]:
    computation = onnx_computation(path, batch=batch, keeps_inputs=False)
    fused = has_quantizers(path)
    how = "in an integer runtime, which fuses quantizers into operators" if fused else "in ONNX Runtime"
    order, record = search(computation, sizes=f"{how}, without the inputs")
    with tempfile.TemporaryDirectory(prefix="microjoule-") as folder:
        made = write_onnx_order(path, order, Path(folder) / out.name)
        same, before, after = compare_onnx(path, made, samples=SAMPLES, batch=batch)
        if same:
            write_atomically(out, made.read_bytes())
    caveat = FUSED if fused else UNFUSED
    held = (None, None) if fused else (before.held_bytes, after.held_bytes)
    plan = record.after.peak_bytes
    return record, RanInOrder("ONNX Runtime", SAMPLES, same, after.follows_file, *held, plan, caveat)


def _litert(path: Path, out: Path, search: Search) -> tuple[Scheduled, RanInOrder | None]:
    computation = litert_computation(path, OPTIMIZED_KERNELS)
    order, found = search(computation, sizes="in LiteRT with its fast kernels")
    if not is_installed():
        write_litert_order(path, order, out)
        return found, None
    with tempfile.TemporaryDirectory(prefix="microjoule-") as folder:
        made = write_litert_order(path, order, Path(folder) / out.name)
        compared = compare_litert(path, made, samples=SAMPLES)
        if compared.identical:
            write_atomically(out, made.read_bytes())
    before, after = compared.arenas
    largest = max(after.workspaces, key=lambda one: one[1], default=None)
    unfolded = f" The largest workspace is that of {largest[0]}: {largest[1]:,} bytes." if largest else ""
    caveat = f"The arena is that of LiteRT's own greedy planner, without a delegate.{unfolded}"
    held = (before.measured_bytes, after.measured_bytes)
    return found, RanInOrder("LiteRT", SAMPLES, compared.identical, None, *held, found.arena_bytes, caveat)
