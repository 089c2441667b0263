"""One call from a trained network to what is shipped: `reach`, and then `deliver`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from microjoule.costs.target import Target
from microjoule.execution.device import Device, move, returns
from microjoule.execution.scoring import MetricLike
from microjoule.graph.card import Ranges
from microjoule.graph.network import Network, takes_network
from microjoule.quantization.simulate import Bits
from microjoule.recipes.attempts import ATTEMPTS, Attempt
from microjoule.recipes.deliver import Delivered, deliver
from microjoule.recipes.reach import reach
from microjoule.records.decided import Reached
from microjoule.records.files import check_places

VERIFIED_SAMPLES = 64
"""Enough that every value of most networks is seen many thousand times."""


@takes_network
@returns
def auto(
    network: Network,
    data: Any,
    metric: MetricLike,
    out: str | Path,
    *,
    calibration: Any = None,
    confirm: Any = None,
    drop: float = 1.0,
    target: str | Path | Target = "onnxruntime",
    cost: str = "energy",
    weights: int = 8,
    activations: int = 8,
    layers: Mapping[str, Bits] | None = None,
    input_range: Ranges | None = None,
    samples: int = 256,
    iterations: int = 1000,
    attempts: Sequence[Attempt] = ATTEMPTS,
    folder: str | Path | None = None,
    seed: int = 0,
    onnx: str | Path | None = None,
    report: str | Path | None = None,
    title: str | None = None,
    device: Device = None,
) -> Delivered:
    """Quantize by the first recipe that keeps the metric within a drop; save, export, verify, measure and report it.

    If no recipe does, the network that drops least is delivered all the same; `reached.met` of what is returned tells.

    Args:
        network: in floating point; it is left alone.
        data: labelled data for the metric, in any form that `batches` takes; its first inputs are compared on, too.
        metric: as in `reach`, and so are the settings down to `seed`.
        out: the files' name without a suffix, as in `deliver`.
        calibration: unlabelled inputs for the methods.
        confirm: labelled data on which what was chosen is scored at the end, as in `reach`.
        drop: how much worse than FP32 the metric may be.
        target: which the network shall run on.
        cost: what is counted for each attempt.
        weights: bits of weights.
        activations: bits of activations.
        layers: exceptions by layer path.
        input_range: smallest and largest value of all inputs, or of each by its name; None as in `data_free`.
        samples: how many calibration inputs are used.
        iterations: for each layer, where rounding is learned.
        attempts: what is tried, in this order.
        folder: keeps each attempt as soon as it is done; the same call then goes on where it was interrupted.
        seed: of every draw.
        onnx: where the integer model goes, if not beside the others.
        report: where the page goes, likewise.
        title: the page's heading; None names the recipe.
        device: where it runs, such as "cuda"; None for where the network is, and where it is afterwards.

    Raises:
        MicrojouleError: as `reach` and `deliver`; a place that cannot be written to before any work is done.
    """
    move(network, device)
    check_places([f"{out}.mj", onnx or f"{out}.onnx", report or f"{out}.html"])
    settings: dict[str, Any] = {
        "calibration": calibration,
        "confirm": confirm,
        "drop": drop,
        "target": target,
        "cost": cost,
    }
    settings |= {"weights": weights, "activations": activations, "layers": layers, "input_range": input_range}
    settings |= {"samples": samples, "iterations": iterations, "attempts": attempts, "folder": folder, "seed": seed}
    result = reach(network, data, metric, **settings)
    stage = next(record.taken.stage for record in reversed(result.history) if isinstance(record, Reached))
    places: dict[str, Any] = {"onnx": onnx, "report": report, "title": title or f"{stage} of {Path(out).name}"}
    return deliver(result, out, data, original=network, stage=stage, samples=VERIFIED_SAMPLES, **places)
