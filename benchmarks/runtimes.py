"""Whether real runtimes obey an order: SwiftNet in LiteRT and in ONNX Runtime, in its file's order and the least.

SwiftNet's class is the same for every image that was tried, as its last sums run against their bounds. So what is
compared bit for bit is also the map before its last pooling, where images differ. As the public file's weights are
large and each layer clips, small differences grow on the way: what the translation to ONNX may differ by is told beside
what another image differs by.
"""

import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from benchmarks.figure import Figure
from benchmarks.swiftnet_onnx import grid_of, to_onnx, write_giving
from microjoule.deploy.litert_file import read_litert
from microjoule.deploy.litert_order import computation_of, write_litert_order
from microjoule.deploy.litert_plan import ALIGNMENT_BYTES, litert_plan
from microjoule.deploy.litert_run import ACCOUNTING, Kernels, LiteRtArena, measure_litert_arena, run_litert
from microjoule.deploy.onnx_order import onnx_computation, write_onnx_order
from microjoule.deploy.onnx_order_run import OnnxRun, optimize_onnx, run_onnx_in_order
from microjoule.errors import SettingError
from microjoule.formats.images import decode_image
from microjoule.records.files import write_atomically
from microjoule.scheduling import Computation, Order, buffers_of, order, pack, peak_bytes
from microjoule.scheduling.moves import with_one_moved
from microjoule.zoo.folders import Archive

SWIFTNET = Path("scheduling", "swiftnet_vww_uint8.tflite")
IMAGES = 8
"""COCO images that both orders get."""

SIDE = 224
SECONDS = 60.0
"""For an order; it takes less than one."""

STARTS, TRIES = 4, 600
"""Moves of single operators that are tried, each of which takes milliseconds."""

KERNELS: dict[Kernels, str] = {"reference": "plain", "optimized": "fast"}


def figures(data: Path) -> Iterator[Figure]:
    """LiteRT with both sets of kernels, the translation to ONNX, and ONNX Runtime with its optimizations or without."""
    path, given = data / SWIFTNET, images(data)
    with TemporaryDirectory() as name:
        folder = Path(name)
        try:
            for kernels in KERNELS:
                yield from _in_litert(path, given, kernels, folder)
            yield from _translated(path, given, folder)
        except SettingError as error:
            sys.stderr.write(f"LiteRT is left out: {error.fact}\n")
        yield from _in_onnxruntime(path, given, folder)


def images(data: Path) -> list[np.ndarray]:
    """COCO images, (1, 224, 224, 3) of 8 bits."""
    archive = Archive(data / "coco128_val" / "coco.zip")
    names = [name for name in archive.names() if name.startswith("images/")][:IMAGES]
    opened = [decode_image(archive.read(name), name).resize((SIDE, SIDE), Image.Resampling.BILINEAR) for name in names]
    return [np.asarray(one, np.uint8)[None] for one in opened]


def last_map(path: Path) -> int:
    """The tensor before the last pooling, by its index in the file."""
    return next(one.inputs[0] for one in reversed(read_litert(path).operators) if one.kind == "average_pool")


def equal_share(first: Sequence[Sequence[np.ndarray]], second: Sequence[Sequence[np.ndarray]]) -> float:
    """The share of samples of which every output is the same, bit for bit."""
    same = [
        [(one.shape, one.tobytes()) for one in a] == [(one.shape, one.tobytes()) for one in b]
        for a, b in zip(first, second, strict=True)
    ]
    return sum(same) / len(same)


# LiteRT ---------------------------------------------------------------------------------------------------------------


def moved(computation: Computation, given: Sequence[int], *, starts: int = STARTS, tries: int = TRIES) -> list[int]:
    """An order of no higher peak for which LiteRT's planner, which is greedy, takes no more and perhaps less.

    One operator at a time goes to another place between what it needs and what needs it, and stays there if the arena
    is no larger.

    Args:
        computation: counted as LiteRT counts.
        given: the order to begin with.
        starts: how often to begin with it, each time with other moves.
        tries: how many moves each time.
    """
    peak, best, before = peak_bytes(computation, given), list(given), computation.before()
    smallest = begun = _arena(computation, best)
    for seed in range(starts):
        chance, here, size = random.Random(seed), list(given), begun
        for _ in range(tries):
            if smallest <= peak:
                return best
            other = with_one_moved(here, before, chance)
            taken = _arena(computation, other)
            if taken <= size and peak_bytes(computation, other) <= peak:
                here, size = other, taken
                if size < smallest:
                    best, smallest = here, size
    return best


def _arena(computation: Computation, given: Sequence[int]) -> int:
    """What LiteRT's planner takes for an order."""
    return litert_plan(computation.in_order(given)).arena_bytes


def _in_litert(path: Path, given: Sequence[np.ndarray], kernels: Kernels, folder: Path) -> Iterator[Figure]:
    """One set of kernels: the same outputs in every order, and the arena of the least and of one moved for it."""
    name, model = f"SwiftNet in LiteRT, {KERNELS[kernels]} kernels", read_litert(path)
    computation = computation_of(model, ACCOUNTING[kernels])
    found = order(computation, seconds=SECONDS)
    orders = {"least": list(found.order), "moved": moved(computation, found.order)}
    bare = list(order(computation_of(model), seconds=SECONDS).order)
    yield equal_figure(name, path, given, kernels, [*orders.values(), bare])
    filed = measure_litert_arena(path, kernels=kernels)
    arenas = {
        word: measure_litert_arena(write_litert_order(path, one, folder / f"{word}.tflite"), kernels=kernels)
        for word, one in orders.items()
    }
    yield arena_figure(name, computation, found, found.order, (arenas["least"], filed))
    if orders["moved"] != orders["least"]:
        said = f"{name}, operators moved for its planner"
        yield arena_figure(said, computation, found, orders["moved"], (arenas["moved"], filed))
    least = min(one.measured_bytes for one in arenas.values())
    compared = f"arena {least:,}, in the file's order {filed.measured_bytes:,}"
    yield Figure(f"{name}, arena saved", 1 - least / filed.measured_bytes, "share", None, compared)


def equal_figure(
    name: str, path: Path, given: Sequence[np.ndarray], kernels: Kernels, orders: Sequence[list[int]]
) -> Figure:
    """The share of images that give the same class and the same last map, bit for bit, in the file's order and others.

    Raises:
        AssertionError: if every order is the file's.
    """
    others = [list(one) for one in dict.fromkeys(map(tuple, orders)) if list(one) != sorted(one)]
    if not others:
        raise AssertionError("no order differs from the file's, so nothing is compared")
    with TemporaryDirectory() as folder:
        files = [path, write_giving(path, last_map(path), Path(folder, "map.tflite"))]
        filed = [[run_litert(one, [image], kernels=kernels)[0] for one in files] for image in given]
        shares = []
        for number, other in enumerate(others):
            moved_files = [write_litert_order(one, other, Path(folder, f"{number}_{one.name}")) for one in files]
            found = [[run_litert(one, [image], kernels=kernels)[0] for one in moved_files] for image in given]
            shares.append(equal_share(filed, found))
    compared = f"orders other than the file's: {len(others)}; {_varied(filed)}"
    return Figure(f"{name}, equal outputs", min(shares), "share", "== 1", compared)


def arena_figure(
    name: str, computation: Computation, found: Order, given: Sequence[int], arenas: tuple[LiteRtArena, LiteRtArena]
) -> Figure:
    """The arena of an order over the least peak, and what its excess is.

    Args:
        name: of what ran.
        computation: counted as these kernels count.
        found: the least order with its proof.
        given: the order that ran.
        arenas: what it took, and what the file's order took.
    """
    arena, filed = arenas
    proof = "proved least" if found.is_optimal else f"none is below {found.lower_bound:,}"
    words = [
        f"arena {arena.measured_bytes:,}, foreseen {arena.planned_bytes:,}; peak {found.peak:,}, {proof}",
        f"file order: arena {filed.measured_bytes:,}, peak {peak_bytes(computation):,}",
    ]
    if arena.measured_bytes > found.peak:
        exact = pack(buffers_of(computation, given).buffers, alignment=ALIGNMENT_BYTES, time_limit_s=SECONDS)
        words.append(
            f"the excess is LiteRT's greedy planner's: an exact plan of this order takes {exact.plan.size_bytes:,}"
        )
    words += [f"{size:,} are what {one} unfolds its input into, in any order" for one, size in arena.workspaces]
    ratio = arena.measured_bytes / found.peak
    return Figure(f"{name}, arena over least peak", ratio, "x", "<= 1.05", "; ".join(words))


def _varied(runs: Sequence[Sequence[np.ndarray]]) -> str:
    """How much there was to be different."""
    kinds = [len({one[which].tobytes() for one in runs}) for which in (0, 1)]
    size = runs[0][1].size
    return f"{len(runs)} images give {kinds[0]} different classes and {kinds[1]} different last maps of {size:,} values"


# ONNX Runtime ---------------------------------------------------------------------------------------------------------


def _translated(path: Path, given: Sequence[np.ndarray], folder: Path) -> Iterator[Figure]:
    """How far the models of reals are from the integers: the class, and the last map in steps of its integers."""
    which = last_map(path)
    mapped, grid = write_giving(path, which, folder / "map.tflite"), grid_of(path, which)
    whole = [(run_litert(path, [image])[0], run_litert(mapped, [image])[0].astype(float)) for image in given]
    others = [np.abs(whole[index][1] - whole[index - 1][1]).mean() for index in range(len(whole))]
    for rounds, word, goal in ((True, "rounded", "<= 2"), (False, "reals", None)):
        target = folder / f"{word}.onnx"
        write_atomically(target, to_onnx(path, rounds=rounds, gives=_given(path)).SerializeToString())
        runs = [run_onnx_in_order(target, fed(path, image)).outputs for image in given]
        steps = [
            np.abs(run[1].transpose(0, 2, 3, 1) / grid.scale + grid.zero - ints[1]).mean()
            for run, ints in zip(runs, whole, strict=True)
        ]
        same = [run[0].argmax() == ints[0].argmax() for run, ints in zip(runs, whole, strict=True)]
        compared = f"of 255, {len(given)} images; another image's map is {np.mean(others):.1f} away"
        name = f"SwiftNet translated to ONNX, {word}"
        yield Figure(f"{name}, last map off LiteRT's", float(np.mean(steps)), "steps", goal, compared)
        kinds = len({int(ints[0].argmax()) for ints in whole})
        compared = f"LiteRT gives {kinds} different classes for {len(given)} images"
        yield Figure(f"{name}, same class as LiteRT", float(np.mean(same)), "share", None, compared)


def fed(path: Path, image: np.ndarray) -> dict[str, np.ndarray]:
    """An image as the translated model takes it."""
    model = read_litert(path)
    return {model.tensors[one].name: grid_of(path, one).values(image).transpose(0, 3, 1, 2) for one in model.inputs}


def _given(path: Path) -> tuple[int, int]:
    """What the translated model gives: the class and the last map."""
    return read_litert(path).outputs[0], last_map(path)


def _in_onnxruntime(path: Path, given: Sequence[np.ndarray], folder: Path) -> Iterator[Figure]:
    """The translated model of reals, as it is and as ONNX Runtime optimizes it."""
    plain = write_atomically(folder / "plain.onnx", to_onnx(path, gives=_given(path)).SerializeToString())
    optimized = optimize_onnx(plain, folder / "optimized.onnx")
    samples = [fed(path, image) for image in given]
    for name, file in (("", plain), (", optimized", optimized)):
        yield from _ordered(f"SwiftNet in ONNX Runtime{name}", file, samples)


def _ordered(name: str, file: Path, samples: Sequence[dict[str, np.ndarray]]) -> Iterator[Figure]:
    """One file: the same outputs, the file's order followed, and what the arena held."""
    computation = onnx_computation(file, keeps_inputs=False)
    found = order(computation, seconds=SECONDS)
    least = write_onnx_order(file, found.order, file.with_name(f"least_{file.name}"))
    runs = [[run_onnx_in_order(one, sample) for sample in samples] for one in (file, least)]
    outputs = [[run.outputs for run in some] for some in runs]
    yield Figure(f"{name}, equal outputs", equal_share(*outputs), "share", "== 1", _varied(outputs[0]))
    follows = [run.follows_file for some in runs for run in some]
    compared = f"{len(follows)} runs, {len(computation.operators)} nodes each"
    yield Figure(f"{name}, follows the file", sum(follows) / len(follows), "share", "== 1", compared)
    yield from held_figures(name, found, runs[0][-1], runs[1][-1])
    usual = [run_onnx_in_order(one, samples[0], reuses=True, plans_block=True) for one in (file, least)]
    alone = run_onnx_in_order(least, samples[0], reuses=True), run_onnx_in_order(least, samples[0], plans_block=True)
    yield from default_figure(name, found, usual[0], usual[1], alone)


def held_figures(name: str, found: Order, filed: OnnxRun, least: OnnxRun) -> Iterator[Figure]:
    """What the arena held over the least peak, and what that saves; none where this version does not tell.

    Args:
        name: of the model.
        found: the least order with its proof.
        filed: a run in the file's order.
        least: a run in the least.
    """
    if least.held_bytes is None or filed.held_bytes is None:
        sys.stderr.write(f"{name}: this version of ONNX Runtime does not tell what its arena holds\n")
        return
    proof = "proved least" if found.is_optimal else f"none is below {found.lower_bound:,}"
    compared = (
        f"held {least.held_bytes:,}, with what kernels take while they run {least.peak_bytes:,}; "
        f"peak {found.peak:,}, {proof}; file order {filed.held_bytes:,}"
    )
    yield Figure(f"{name}, held over least peak", least.held_bytes / found.peak, "x", "<= 1.05", compared)
    compared = f"held {least.held_bytes:,}, in the file's order {filed.held_bytes:,}"
    yield Figure(f"{name}, held bytes saved", 1 - least.held_bytes / filed.held_bytes, "share", None, compared)


def default_figure(
    name: str, found: Order, filed: OnnxRun, least: OnnxRun, alone: tuple[OnnxRun, OnnxRun]
) -> Iterator[Figure]:
    """What it held with ONNX Runtime's usual settings for memory, which can undo what the order saves.

    Args:
        name: of the model.
        found: the least order with its proof.
        filed: the second run in the file's order.
        least: the second run in the least.
        alone: the least with the one setting alone, and with the other.
    """
    reused, planned = (run.held_bytes for run in alone)
    if least.held_bytes is None or filed.held_bytes is None:
        return
    compared = (
        f"held {least.held_bytes:,}, file order {filed.held_bytes:,}; with places of dead values reused alone "
        f"{reused:,}, with one block planned alone {planned:,}; the other figures are without either"
    )
    said = f"{name}, places reused and one block planned, held over least peak"
    yield Figure(said, least.held_bytes / found.peak, "x", None, compared)
