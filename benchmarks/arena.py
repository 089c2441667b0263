"""How small an arena holds MiniMalloc's challenging instances, and in how many seconds that is found and proved."""

import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figure import Figure
from microjoule.errors import FileError
from microjoule.scheduling import Buffer, Packing, greedy_by_size, load, pack, plan_problems, read_buffers

CAPACITY = 1_048_576
"""Bytes of the memory that the instances A to K are to be put in."""

TIME_LIMIT_S = 180.0
"""For an instance in the memory."""

PEAK_LIMIT_S = 120.0
"""For an instance in no more than its load."""

MINIMALLOC_S = 69.3
"""Of MiniMalloc in C++ for all eleven, 1.6 to 14.2 each (Moffitt 2023, one thread of another machine)."""

OPEN = ("D", "J")
"""Nobody has published a plan of theirs that is as small as their load, nor a proof that there is none."""


def figures(data: Path) -> Iterator[Figure]:
    """Each instance in the memory, all of them together, and those whose load is smaller than the memory."""
    instances = read_instances(data / "scheduling" / "minimalloc")
    total = 0.0
    for name, buffers in instances.items():
        found, seconds = packed(buffers, enough_bytes=CAPACITY, time_limit_s=TIME_LIMIT_S)
        total += seconds
        yield from told(name, buffers, found, seconds)
    compared = f"MiniMalloc {MINIMALLOC_S} s on another machine"
    yield Figure(f"MiniMalloc {min(instances)} to {max(instances)}, all", total, "s", f"<= {MINIMALLOC_S}", compared)
    for name in OPEN:
        if name in instances:
            found, seconds = packed(instances[name], time_limit_s=PEAK_LIMIT_S)
            yield at_peak(name, instances[name], found, seconds)


def read_instances(folder: Path) -> dict[str, list[Buffer]]:
    """The instances in a folder, by name.

    Raises:
        FileError: if there is none.
    """
    paths = sorted(folder.glob(f"*.{CAPACITY}.csv"))
    if not paths:
        raise FileError(
            str(folder), "holds no instances", remedy="put MiniMalloc's A.1048576.csv to K.1048576.csv there"
        )
    return {path.name.partition(".")[0]: read_buffers(path) for path in paths}


def packed(buffers: list[Buffer], *, enough_bytes: int = 0, time_limit_s: float) -> tuple[Packing, float]:
    """A plan that was checked, and the seconds until it was found."""
    started = time.perf_counter()
    found = pack(buffers, enough_bytes=enough_bytes, time_limit_s=time_limit_s)
    seconds = time.perf_counter() - started
    wrong = plan_problems(found.plan, buffers)
    if wrong:
        raise AssertionError(f"the plan is not sound: {wrong[0]}")
    return found, seconds


def told(name: str, buffers: list[Buffer], found: Packing, seconds: float) -> Iterator[Figure]:
    """Of one instance: the arena and the time it took, and the greedy one over the load."""
    least = load(buffers)
    compared = f"{len(buffers)} buffers, load {least:,}, {found.nodes:,} partial plans in {seconds:.2f} s"
    yield Figure(f"MiniMalloc {name}, arena", found.plan.size_bytes, "bytes", f"<= {CAPACITY}", compared)
    greedy = greedy_by_size(buffers).size_bytes
    compared = f"TFLite's greedy by size {greedy:,}; this {found.plan.size_bytes / least:.3f}"
    yield Figure(f"MiniMalloc {name}, greedy arena over load", greedy / least, "x", None, compared)


def at_peak(name: str, buffers: list[Buffer], found: Packing, seconds: float) -> Figure:
    """Of one instance without a limit of memory: how far the smallest arena known is above what is proved."""
    state = "proved" if found.optimal else f"open, no arena is below {found.bound_bytes:,}"
    compared = f"load {load(buffers):,}; smallest found {found.plan.size_bytes:,} in {seconds:.0f} s: {state}"
    return Figure(
        f"MiniMalloc {name} at its load, arena over bound",
        found.plan.size_bytes / found.bound_bytes,
        "x",
        None,
        compared,
    )
