"""ExecuTorch: a program in the best order runs as planned, bit for bit, in an arena as small as the proved peak."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.environment import environment, run_module
from benchmarks.figure import Figure

WITHOUT_THEIR_NEEDS = ("executorch==1.5.1", "torchao==0.18.0")
NEEDS = ("flatbuffers", "pyyaml", "ruamel.yaml", "tabulate")
"""What writing and running a program needs beside microjoule's own needs; pip would install much more."""

NETWORKS = ("branches", "digits_mobilenet_v2")
OURS = "microjoule, in place"


def figures(data: Path) -> Iterator[Figure]:  # noqa: ARG001 - every benchmark is given the data
    """Equal outputs and arenas in both orders, of an irregular network and of one without gain.

    Args:
        data: not used: both networks are at hand.
    """
    with tempfile.TemporaryDirectory(prefix="microjoule-") as place:
        python = environment(Path(place) / "venv", WITHOUT_THEIR_NEEDS, NEEDS)
        for name in NETWORKS:
            yield from told(name, _run(python, name, Path(place)))


def _run(python: Path, name: str, place: Path) -> dict[str, Any]:
    """One network, in a process of its own."""
    words, alone = (name, "--folder", str(place)), {"OMP_NUM_THREADS": "1"}
    return run_module(python, "benchmarks.executorch_run", words, place / f"{name}.json", place=name, variables=alone)


def told(name: str, found: dict[str, Any]) -> Iterator[Figure]:
    """What a network's figures say.

    Args:
        name: of the network.
        found: as `benchmarks.executorch_run.measured` returns it.
    """
    title, arenas, samples = f"ExecuTorch, {name}", found["arenas"], found["samples"]
    equal, follows = found["identical"].values(), found["follows"].values()
    plans = f"{len(equal)} programs, 2 orders by 3 plans, {samples} inputs each; {found['apart']:.1g} from PyTorch"
    yield Figure(f"{title}, equal outputs", sum(equal) / (len(equal) * samples), "share", "== 1", plans)
    kept = "shapes of what the kernels in the .pte write, against the network's operators"
    yield Figure(f"{title}, programs in the given order", sum(follows) / len(follows), "share", "== 1", kept)
    wrong = "a wrong plan, every value at byte 0: outputs that differ or are refused"
    yield Figure(f"{title}, wrong plans noticed", found["spoilt"] / samples, "share", "== 1", wrong)
    peak = found["peaks"]["best"]
    proof = "proved" if found["optimal"] else "not proved"
    compared = f"arena {arenas[f'best, {OURS}']:,} bytes in the .pte, peak {peak:,}, {proof}"
    yield Figure(f"{title}, arena over peak", arenas[f"best, {OURS}"] / peak, "x", "<= 1.05", compared)
    compared = "; ".join(f"{key}: {size:,}" for key, size in arenas.items())
    theirs, gained = arenas["file, ExecuTorch"], min(found["peaks"].values()) < found["peaks"]["file"]
    goal = "<= 0.9" if gained else "<= 1"
    order = arenas["best, ExecuTorch"] / theirs
    yield Figure(f"{title}, arena of the best order over the file's, both by ExecuTorch", order, "x", goal, compared)
    both = arenas[f"best, {OURS}"] / theirs
    yield Figure(f"{title}, arena by microjoule over ExecuTorch's of the file's order", both, "x", goal, compared)
