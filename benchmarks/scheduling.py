"""How little memory irregular networks need, in which time that is found, and that it is proved."""

import json
import math
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import no_gain, runtimes
from benchmarks.figure import Figure
from benchmarks.milp import least_peak
from benchmarks.random_computations import random_computation
from benchmarks.randwire import cell, with_kinds
from microjoule.deploy.litert_order import Accounting, litert_computation
from microjoule.scheduling import (
    Computation,
    Order,
    accumulable,
    accumulate,
    buffers_of,
    cut_out,
    dynamic_program,
    load,
    order,
    pack,
    peak_bytes,
    per_branch,
    plan_problems,
    read_graph,
    result_problems,
    rewrite,
    serenity,
)

CELLS = {"A": range(5, 33), "B": range(34, 57), "C": range(58, 82)}
"""The operators of SwiftNet's cells in the public model's file."""

REWRITTEN = {"A": 188_160, "B": 53_312, "C": 16_856}
"""Bytes, with accumulators as wide as the outputs."""

SECONDS = {"swiftnet_whole": 0.1, "swiftnet_whole_rewritten": 1.0}
CELL_SECONDS, NAS_SECONDS, RANDWIRE_SECONDS = 0.1, 5.0, 0.5

ACCUMULATED_SECONDS = 60.0
"""For each RandWire cell with accumulation."""

RANDOM, RANDOM_SMALL = 10_000, 200
"""Random computations, and how many of the small ones an integer program solves, too."""


def figures(data: Path) -> Iterator[Figure]:
    """Optima with their proofs, rewritings, arenas, seconds, random computations, networks without gain, runtimes."""
    folder = data / "scheduling"
    yield from _shared(folder / "graphs")
    yield from _rewritten(folder / "swiftnet_vww_uint8.tflite")
    yield from _randwire(folder / "graphs")
    yield from _random_cells()
    yield from _random_computations()
    yield from no_gain.figures(data)
    yield from runtimes.figures(data)


def _shared(graphs: Path) -> Iterator[Figure]:
    """Each shared graph: its optimum, the time, what the proof is, and on SwiftNet the arena."""
    nas: list[float] = []
    for path in sorted(graphs.glob("*.json")):
        given = read_graph(path)
        known = json.loads(path.read_text()).get("known", {}).get("optimal_peak")
        found, seconds = timed(given)
        _require(found, given)
        proof = f"{type(found.certificate).__name__}, accepted by the checker" if found.certificate else "the inputs"
        compared = f"file order {peak_bytes(given):,}; {found.states:,} states; proof: {proof}"
        goal = f"== {known}" if known else f"== {found.lower_bound}"
        yield Figure(f"{path.stem}, peak", found.peak, "bytes", goal, compared)
        yield Figure(f"{path.stem}, time", seconds, "s", f"<= {_limit(path.stem)}", f"{len(given.operators)} operators")
        if path.stem.startswith("swiftnet"):
            yield _arena(path.stem, given, found)
            yield _compared_with_serenity(path.stem, given, found, seconds)
        elif not path.stem.startswith("randwire"):
            nas.append(seconds)
    yield Figure("whole NAS networks, time, median", statistics.median(nas), "s", "<= 1", f"{len(nas)} networks")


def _limit(name: str) -> float:
    if name.startswith("randwire"):
        return RANDWIRE_SECONDS
    return SECONDS.get(name, CELL_SECONDS if name.startswith("swiftnet") else NAS_SECONDS)


def _arena(name: str, given: Computation, found: Order) -> Figure:
    """The smallest arena of an order over its peak."""
    laid = buffers_of(given, found.order)
    packed = pack(laid.buffers, time_limit_s=60.0)
    wrong = plan_problems(packed.plan, laid.buffers)
    if wrong:
        raise AssertionError(wrong[0])
    compared = f"{packed.plan.size_bytes:,} bytes, load {load(laid.buffers):,}"
    return Figure(f"{name}, arena over peak", packed.plan.size_bytes / found.peak, "x", "== 1", compared)


def _compared_with_serenity(name: str, given: Computation, found: Order, seconds: float) -> Figure:
    """How many times fewer states are looked at than by SERENITY's algorithm in the same run."""
    started = time.perf_counter()
    _, peak, states = serenity(given)
    took = time.perf_counter() - started
    if peak != found.peak:
        raise AssertionError(f"{name}: SERENITY's algorithm finds {peak}, not {found.peak}")
    compared = (
        f"SERENITY's algorithm, ours: {states:,} states in {took:.2f} s; this {found.states:,} in {seconds:.3f} s"
    )
    return Figure(
        f"{name}, states of SERENITY's algorithm over ours", states / max(found.states, 1), "x", None, compared
    )


def _rewritten(path: Path) -> Iterator[Figure]:
    """SwiftNet's cells of the real file, rewritten where it pays, for accumulators of one, two and four bytes."""
    whole = litert_computation(path, Accounting(concatenation_is_view=True))
    for name, operators in CELLS.items():
        given = cut_out(whole, operators, f"SwiftNet {name}")
        plain = order(given).peak
        for width in (1, 2, 4):
            started = time.perf_counter()
            found = rewrite(given, accumulator_bytes=width)
            took = time.perf_counter() - started
            _require(found.order, found.computation)
            best = "best choice of all" if found.is_best else "best choice found"
            compared = (
                f"not rewritten {plain:,}; {best}, {len(found.accumulated)} sums, {found.tried} tried, {took:.1f} s"
            )
            goal = f"== {REWRITTEN[name]}" if width == 1 else f"<= {plain}"
            yield Figure(f"SwiftNet {name} rewritten, {width}-byte sums", found.order.peak, "bytes", goal, compared)
    started = time.perf_counter()
    parts = per_branch(whole)
    found_whole = order(accumulate(parts, accumulable(parts)))
    took = time.perf_counter() - started
    compared = f"{found_whole.states:,} states; SERENITY published 111.9 s"
    yield Figure("SwiftNet whole, rewritten by us and ordered, time", took, "s", "<= 1", compared)


def _randwire(graphs: Path) -> Iterator[Figure]:
    """What accumulation saves on RandWire's cells; the optimum without it is proved, the order with it is at hand."""
    ratios, bounds = [], []
    for path in sorted(graphs.glob("randwire_*.json")):
        given = with_kinds(read_graph(path))
        plain = order(given)
        summed = accumulate(given, accumulable(given))
        found = order(summed, seconds=ACCUMULATED_SECONDS)
        if wrong := result_problems(summed, found):
            raise AssertionError(wrong[0])
        ratios.append(found.peak / plain.peak)
        bounds.append(found.lower_bound / plain.peak)
        compared = f"without {plain.peak:,}, proved; no order below {found.lower_bound:,}; {found.states:,} states"
        yield Figure(f"{path.stem} with accumulation, peak", found.peak, "bytes", None, compared)
    mean, least = (math.exp(statistics.fmean(math.log(one) for one in part)) for part in (ratios, bounds))
    compared = f"geometric mean of {len(ratios)} cells, over the proved optima without; at best {least:.3f}"
    yield Figure("RandWire with accumulation over without", mean, "x", "<= 0.8", compared)


def _random_cells() -> Iterator[Figure]:
    """Cells of 64 nodes."""
    gaps, times = [], []
    for seed in range(10):
        found, seconds = timed(cell(64, seed), 60.0)
        gaps.append(found.gap)
        times.append(seconds)
    compared = f"seeds 0 to 9, at most 60 s each; {sum(not gap for gap in gaps)} of 10 proved optimal"
    yield Figure("random cells of 64 nodes, largest gap", max(gaps), "share", "<= 0.05", compared)
    yield Figure(
        "random cells of 64 nodes, longest time", max(times), "s", "<= 60", f"median {statistics.median(times):.2f} s"
    )


def _random_computations() -> Iterator[Figure]:
    """Random computations against the plain dynamic program, and small ones against an integer program."""
    apart, states, plain_states, solved, milp_apart = 0, 0, 0, 0, 0
    for seed in range(RANDOM):
        given = random_computation(seed)
        found = order(given)
        _, peak, looked = dynamic_program(given)
        apart += found.peak != peak or not found.is_optimal
        states, plain_states = states + found.states, plain_states + looked
        if solved < RANDOM_SMALL and 2 <= len(given.operators) <= 6:
            solved += 1
            milp_apart += least_peak(given) != found.peak
    compared = f"{RANDOM:,} graphs with sums, in-place outputs and views; {states:,} states against {plain_states:,}"
    yield Figure("random graphs, unlike the plain dynamic program", apart, "graphs", "== 0", compared)
    yield Figure(
        "small random graphs, unlike HiGHS", milp_apart, "graphs", "== 0", f"{solved} graphs as integer programs"
    )


def timed(given: Computation, seconds: float | None = None) -> tuple[Order, float]:
    """An order, and the seconds that it took."""
    started = time.perf_counter()
    found = order(given, seconds=seconds)
    return found, time.perf_counter() - started


def _require(found: Order, given: Computation) -> None:
    if wrong := result_problems(given, found):
        raise AssertionError(f"{given.name}: {wrong[0]}")
    if not found.is_optimal:
        raise AssertionError(f"{given.name}: {found.peak} is not proved, the bound is {found.lower_bound}")
