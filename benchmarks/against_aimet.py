"""Against AIMET: AdaRound by both on the same network, images, grids and iterations, in turn in one environment."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from benchmarks.environment import environment, run_module
from benchmarks.figure import Figure

AIMET = "aimet-torch==2.42.0"
NEEDS = (
    "bokeh<=3.6.3",
    "cvxpy",
    "holoviews",
    "hvplot",
    "jsonschema",
    "matplotlib",
    "networkx",
    "onnx_ir",
    "onnxscript",
)
MORE = ("osqp", "pandas", "psutil", "pybind11", "scikit-learn", "tensorboard", "tqdm")
"""What AIMET needs beside microjoule's own needs, without torchvision, which has no build for every torch."""


def figures(data: Path) -> Iterator[Figure]:
    """Time, memory and outcome of one layer, and of a network.

    Args:
        data: a folder of the layout that the zoo reads.
    """
    with tempfile.TemporaryDirectory(prefix="microjoule-") as place:
        python = environment(Path(place) / "venv", (AIMET,), (*NEEDS, *MORE))
        theirs, ours = (_run(python, tool, "layer", data, Path(place)) for tool in ("aimet", "microjoule"))
        yield from _spent("64x64x3x3 layer", theirs, ours)
        compared = f"AIMET {theirs['error']:.3%}, microjoule {ours['error']:.3%} of the output's variance, new inputs"
        yield Figure("64x64x3x3 layer, output error", ours["error"] / theirs["error"], "of AIMET's", "<= 1", compared)
        theirs, ours = (_run(python, tool, "network", data, Path(place)) for tool in ("aimet", "microjoule"))
        yield from _spent("ResNet-20", theirs, ours)
        yield from paired(theirs["right"], ours["right"])


def _run(python: Path, tool: str, task: str, data: Path, place: Path) -> dict[str, Any]:
    """One tool on one task, in a process of its own."""
    words = (tool, task, "--data", str(data), "--folder", str(place))
    return run_module(python, "benchmarks.aimet_run", words, place / f"{tool}-{task}.json", place=f"{tool} on {task}")


def _spent(name: str, theirs: dict[str, Any], ours: dict[str, Any]) -> Iterator[Figure]:
    """Time and memory as shares of AIMET's."""
    seconds = f"AIMET {theirs['seconds']:.1f} s, microjoule {ours['seconds']:.2f} s, 1000 iterations a layer"
    yield Figure(f"{name}, time of AdaRound", ours["seconds"] / theirs["seconds"], "of AIMET's", "<= 0.1", seconds)
    above, whole = (
        [f"{tool} {found[key] / 1e6:.0f} MB" for tool, found in (("AIMET", theirs), ("microjoule", ours))]
        for key in ("above_bytes", "peak_bytes")
    )
    compared = f"{', '.join(above)} above what each process held before; peaks with all libraries: {', '.join(whole)}"
    share = ours["above_bytes"] / theirs["above_bytes"]
    yield Figure(f"{name}, peak memory of AdaRound", share, "of AIMET's", "<= 0.5", compared)


def paired(theirs: list[bool], ours: list[bool]) -> Iterator[Figure]:
    """Accuracy on the same images: what only one of both gets right decides.

    Args:
        theirs: for each image, whether AIMET's network is right.
        ours: the same of microjoule's.
    """
    pairs = list(zip(theirs, ours, strict=True))
    only_theirs, only_ours = sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)
    points = 100 * (only_ours - only_theirs) / len(pairs)
    differing = only_ours + only_theirs
    chance = binomtest(only_ours, differing).pvalue if differing else 1.0
    compared = (
        f"AIMET {sum(theirs) / len(pairs):.2%}, microjoule {sum(ours) / len(pairs):.2%} of {len(pairs)} images; "
        f"{only_ours} only microjoule, {only_theirs} only AIMET, two-sided sign test p = {chance:.2g}"
    )
    yield Figure("ResNet-20 W4, accuracy above AIMET's", points, "points", ">= 0", compared)
