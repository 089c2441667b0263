"""Models that others wrote, from end to end: captured, quantized, exported, verified; what runs in integers.

Each model runs in a process of its own, in an environment with the libraries that the models come from. Beside it
stands what ONNX Runtime's own `quantize_static` makes of the same model. What is found is kept in the system's folder
for temporary files, so that an interrupted benchmark goes on where it was.
"""

import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from joblib import Parallel, delayed

from benchmarks.coverage_models import names
from benchmarks.environment import environment, run_module
from benchmarks.figure import Figure
from benchmarks.partial_results import state_of
from microjoule.errors import FileError
from microjoule.records.files import write_atomically

LIBRARIES = (
    *("torch==2.14.1", "torchvision==0.29.1", "timm==1.0.31", "transformers==5.24.0"),
    *("ultralytics==8.4.190", "segmentation-models-pytorch==0.6.0"),
)
"""Whose models these are, with all that they need: several GB, as torchvision here has no build for CPUs alone."""

ALIKE_DB = 100.0
"""From here on a captured network is its model; rounding in another order gives 120 dB."""

REASONS = (
    r"ONNX Runtime has no integer kernel for \w+",
    r"a grid has \d+ bits, for which ONNX Runtime has no integer kernel of \w+",
    "its weight is not quantized",
    "what it reads is not quantized",
    "what it gives is not quantized",
    "ONNX Runtime has not fused it with its quantizers",
)
"""Why multiply-accumulates may stay in floating point."""

ALL_CONVOLUTIONS = ("ultralytics/yolov8n", "ultralytics/yolo11n")
ALL_PRODUCTS = ("transformers/bert", "transformers/vit", "timm/vit_tiny_patch16_224")
"""Models of which every convolution, or every product of attention, is to run in integers."""


def figures(data: Path) -> Iterator[Figure]:
    """How many models go through, and what of them runs in integers.

    Args:
        data: is not read; its name tells results of one state from another's.
    """
    folder = Path(tempfile.gettempdir()) / f"microjoule-coverage-{state_of(data)}"
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="microjoule-") as place:
        python = environment(Path(place) / "venv", (), LIBRARIES, constraints=None)
        yield from told(tried(python, names(), folder))


def tried(python: Path, wanted: Sequence[str], folder: Path) -> list[dict[str, Any]]:
    """What was found of each model, now or by an earlier run.

    Args:
        python: of the environment with the models' libraries.
        wanted: the models.
        folder: keeps what is found.
    """
    processes = os.cpu_count() or 1
    return list(Parallel(processes, backend="threading")(delayed(_tried)(python, name, folder) for name in wanted))


def _tried(python: Path, name: str, folder: Path) -> dict[str, Any]:
    kept = folder / f"{re.sub('[^A-Za-z0-9]', '_', name)}.json"
    if kept.exists():
        return dict(json.loads(kept.read_text(encoding="utf-8")))
    made, alone = kept.with_suffix(".new"), {"OMP_NUM_THREADS": "1"}
    try:
        found = run_module(python, "benchmarks.coverage_run", (name, str(made)), made, place=name, variables=alone)
    except FileError as error:
        found = {"name": name, "library": name.partition("/")[0], "step": "process", "error": error.fact}
    made.unlink(missing_ok=True)
    write_atomically(kept, json.dumps(found, indent=1))
    return found


def told(found: Sequence[Mapping[str, Any]]) -> Iterator[Figure]:
    """What the results of all models say.

    Args:
        found: of each, as `benchmarks.coverage_run` writes it.
    """
    libraries = Counter(str(one["library"]) for one in found)
    yield Figure(
        "models tried", len(found), "models", ">= 60", ", ".join(f"{n} of {lib}" for lib, n in libraries.items())
    )
    captured = [one for one in found if one.get("capture_db", 0.0) >= ALIKE_DB]
    yield _share("captured", captured, found, ">= 0.97")
    done = [one for one in captured if one["step"] == "done" and one["passed"]]
    yield _share("from end to end, verified", done, found, ">= 0.95")
    wrong = [one for one in found if one.get("capture_db", ALIKE_DB) < ALIKE_DB]
    yield _count("captured as something else, without a word", wrong)
    bare = [one for one in found if one["step"] != "done" and not one.get("refused", False)]
    yield _count("ended in another error than a refusal", bare)
    shared = [one for one in found if "integer_share" in one]
    yield from _integers(shared)
    beside = [one for one in shared if "ort_db" in one and "deployed_db" in one]
    gained = [one["deployed_db"] - one["ort_db"] for one in beside]
    if gained:
        below = ", ".join(one["name"] for one in beside if one["deployed_db"] < one["ort_db"] - 1)
        compared = f"SQNR to FP32 against quantize_static's; more than 1 dB below: {below or 'none'}"
        yield Figure("nearer to FP32 than ONNX Runtime's own tool, median", median(gained), "dB", ">= 0", compared)


def _integers(shared: Sequence[Mapping[str, Any]]) -> Iterator[Figure]:
    if shared:
        shares = [one["integer_share"] for one in shared]
        least = min(shared, key=lambda one: one["integer_share"])
        compared = f"least: {least['name']} {least['integer_share']:.4f}"
        yield Figure("multiply-accumulates in integers, median", median(shares), "share", ">= 0.98", compared)
    beside = [one for one in shared if "ort_integer_share" in one]
    below = [one for one in beside if one["integer_share"] < one["ort_integer_share"] - 1e-9]
    yield _count(f"fewer integer MACs than ONNX Runtime's own tool, of {len(beside)}", below)
    pattern = re.compile("|".join(f"(?:{reason})" for reason in REASONS))
    unsaid = [one for one in shared if any(not pattern.fullmatch(reason) for *_, reason in one["floating"])]
    yield _count("MACs in floating point without one of the written reasons", unsaid)
    by_name = {one["name"]: one for one in shared}
    for models, kind in ((ALL_CONVOLUTIONS, "Conv"), (ALL_PRODUCTS, "MatMul")):
        for name in models:
            floating = by_name[name]["floating"] if name in by_name else [(name, kind)]
            left = [str(layer) for layer, operator, *_ in floating if kind in operator]
            yield Figure(f"{name}, {kind} in floating point", len(left), "operators", "== 0", ", ".join(left[:5]))


def _share(name: str, some: Sequence[Mapping[str, Any]], of: Sequence[Mapping[str, Any]], goal: str) -> Figure:
    seen = [one["name"] for one in some]
    others = [f"{one['name']} ({one.get('error') or '; '.join(one.get('problems', ())) or one['step']})" for one in of]
    left = [text for one, text in zip(of, others, strict=True) if one["name"] not in seen]
    return Figure(
        name, len(some) / len(of), "share", goal, f"{len(some)} of {len(of)}; not: {'; '.join(left) or 'none'}"
    )


def _count(name: str, some: Sequence[Mapping[str, Any]]) -> Figure:
    return Figure(name, len(some), "models", "== 0", ", ".join(str(one["name"]) for one in some))


def overloads(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every ATen overload that was met in a model, as "relu.default".

    Args:
        found: as in `told`.
    """
    return sorted(
        {name.removeprefix("aten.") for one in found for name in one.get("overloads", ()) if name.startswith("aten.")}
    )
