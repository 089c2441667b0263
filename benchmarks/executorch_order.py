"""ExecuTorch: a program in the best order runs as planned, bit for bit, in an arena as small as the proved peak."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure
from microjoule.errors import FileError

ROOT = Path(__file__).parent.parent
EXECUTORCH = "executorch==1.5.1"
WITHOUT_THEIR_NEEDS = (EXECUTORCH, "torchao==0.18.0")
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
        python = environment(Path(place) / "venv")
        for name in NETWORKS:
            yield from told(name, _run(python, name, Path(place)))


def environment(folder: Path) -> Path:
    """A virtual environment with ExecuTorch and what microjoule needs; returns its Python.

    Raises:
        FileError: if it cannot be made.
    """
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", "constraints.txt"]
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [*pip, "."],
        [*pip, "--no-deps", *WITHOUT_THEIR_NEEDS],
        [*pip, *NEEDS],
    ):
        made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if made.returncode:
            last = (made.stderr.strip().splitlines() or ["no message"])[-1]
            raise FileError(
                str(folder), f"{EXECUTORCH} cannot be installed: {last}", remedy="look at the package index"
            )
    return python


def _run(python: Path, name: str, place: Path) -> dict[str, Any]:
    """One network, in a process of its own."""
    command = [str(python), "-m", "benchmarks.executorch_run", name, "--folder", str(place)]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=alone, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise FileError(name, f"did not come to its end: {last}", remedy="run benchmarks.executorch_run alone")
    found: dict[str, Any] = json.loads((place / f"{name}.json").read_text())
    return found


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
