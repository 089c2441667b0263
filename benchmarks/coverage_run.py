"""One model of `coverage_models` from end to end, in a process of its own, and what came of it.

    python -m benchmarks.coverage_run NAME RESULT.json

What ONNX Runtime's own `quantize_static` makes of the same model stands beside it.
"""

import json
import logging
import math
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor
from torch.utils import _pytree as pytree

import microjoule as mj
from benchmarks.coverage_models import Subject, model_of, subjects
from microjoule.records.facts import Placed

SAMPLES, EXAMPLE, OTHER = 8, 2, 3
"""Calibration samples, those of the example, and those that are compared in the end."""


class Trial:
    """One model's way through, step by step; what a step finds is kept even where a later one fails."""

    def __init__(self, name: str, subject: Subject, folder: Path) -> None:
        self.name = name
        self.subject = subject
        self.folder = folder
        self.found: dict[str, Any] = {"name": name, "library": subject.library}

    def run(self) -> dict[str, Any]:
        """Every step in turn, up to the first that fails."""
        started = time.perf_counter()
        try:
            for step in (self._capture, self._quantize, self._export, self._compare):
                self.found["step"] = step.__name__.strip("_")
                step()
            self.found["step"] = "done"
        except mj.MicrojouleError as error:
            self.found |= {"error": f"{type(error).__name__} {error.place}: {error.fact}", "refused": True}
        except Exception as error:
            self.found |= {"error": f"{type(error).__name__}: {error}", "refused": False}
            self.found["trace"] = traceback.format_exc()[-2000:]
        try:
            self._by_onnxruntime()
        except Exception as error:
            self.found["ort_error"] = f"{type(error).__name__}: {str(error)[:300]}"
        self.found["seconds"] = time.perf_counter() - started
        self.found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return self.found

    def _capture(self) -> None:
        self.model = model_of(self.subject, seed=0)
        example = self.subject.inputs(EXAMPLE, 1)
        args, kwargs = ((), example) if isinstance(example, dict) else (example, None)
        self.network = mj.capture(self.model, args, kwargs)
        self.found["dynamic_batch"] = self.network.dynamic_batch
        self.found["overloads"] = sorted({str(n.target) for n in self.network.graph.nodes if n.op == "call_function"})
        others = self.subject.inputs(OTHER if self.network.dynamic_batch else EXAMPLE, 2)
        self.found["capture_db"] = worst(called(self.model, others), called(self.network, others))

    def _quantize(self) -> None:
        inputs = [self.subject.inputs(EXAMPLE, seed) for seed in range(10, 10 + SAMPLES // EXAMPLE)]
        data = [tuple(batch.values()) if isinstance(batch, dict) else batch for batch in inputs]
        self.quantized = mj.recipes.data_free(self.network, data=data)
        placed = [record for record in self.quantized.history if isinstance(record, Placed)]
        self.found["skipped"] = [f"{one.place}: {one.reason}" for one in placed[0].skipped]
        others = self.subject.inputs(OTHER if self.network.dynamic_batch else EXAMPLE, 2)
        self.found["simulated_db"] = worst(called(self.model, others), called(self.quantized, others))

    def _export(self) -> None:
        self.path = self.folder / "model.int8.onnx"
        share = mj.export(self.quantized, self.path).integers
        assert share is not None
        self.found["integer_share"] = share.share
        self.found["floating"] = [
            (one.layer, one.operator, one.macs, one.reason) for one in share.operators if not one.integer
        ]
        self.found["integer"] = sorted({one.operator for one in share.operators if one.integer})
        self.found["nodes"], self.found["dequantizers"] = share.nodes, share.dequantizers

    def _compare(self) -> None:
        others = self.subject.inputs(OTHER if self.network.dynamic_batch else EXAMPLE, 2)
        data = [tuple(others.values()) if isinstance(others, dict) else others]
        record = mj.verify(self.quantized, self.path, data, runtimes=["onnxruntime"])[0]
        self.found |= {"departs": record.first_departure, "passed": record.passed, "problems": list(record.problems)}
        got = in_runtime(self.path, others)
        self.found["deployed_db"] = worst(called(self.model, others), got)
        self.found["deployed_to_simulated_db"] = worst(called(self.quantized, others), got)

    def _by_onnxruntime(self) -> None:
        """The same model in floating point, quantized by ONNX Runtime's own tool with its default settings for QDQ."""
        plain, ready, made = (self.folder / name for name in ("fp32.onnx", "ready.onnx", "ort.onnx"))
        mj.export(self.network, plain)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            quant_pre_process(str(plain), str(ready), skip_symbolic_shape=True)
            quantize_static(
                str(ready), str(made), _Reader(self.subject, ready), quant_format=QuantFormat.QDQ, per_channel=True
            )
        self.found["ort_integer_share"] = mj.integer_share(made).share
        others = self.subject.inputs(OTHER if self.network.dynamic_batch else EXAMPLE, 2)
        self.found["ort_db"] = worst(called(self.model, others), in_runtime(made, others))


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """The calibration inputs, as ONNX Runtime's tool asks for them."""

    def __init__(self, subject: Subject, path: Path) -> None:
        names = [entry.name for entry in onnxruntime.InferenceSession(str(path)).get_inputs()]
        self.batches: Iterator[dict[str, Any]] = iter(
            [feed(names, subject.inputs(EXAMPLE, seed)) for seed in range(10, 10 + SAMPLES // EXAMPLE)]
        )

    def get_next(self) -> dict[str, Any] | None:
        """The next batch, or None."""
        return next(self.batches, None)


def called(model: Any, inputs: Any) -> list[Tensor]:
    """A model's floating-point outputs, all of them."""
    with torch.no_grad():
        outputs = model(**inputs) if isinstance(inputs, dict) else model(*inputs)
    return tensors(dict(outputs) if hasattr(outputs, "keys") else outputs)


def tensors(outputs: Any) -> list[Tensor]:
    """The floating-point tensors in some outputs, in order."""
    leaves = pytree.tree_leaves(outputs)
    return [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.is_floating_point()]


def feed(names: list[str], inputs: Any) -> dict[str, Any]:
    """Inputs by a file's names; in their order where these are others."""
    values = list(inputs.values()) if isinstance(inputs, dict) else list(inputs)
    if isinstance(inputs, dict) and set(names) <= set(inputs):
        values = [inputs[name] for name in names]
    return {name: value.numpy() for name, value in zip(names, values, strict=True)}


def in_runtime(path: Path, inputs: Any) -> list[Tensor]:
    """What ONNX Runtime gives for a file."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    outputs = session.run(None, feed([entry.name for entry in session.get_inputs()], inputs))
    return tensors([torch.from_numpy(np.asarray(output)) for output in outputs])


def worst(expected: list[Tensor], got: list[Tensor]) -> float:
    """The smallest SQNR of any output in dB, 200 for equal ones; -200 where shapes differ."""
    if [t.shape for t in expected] != [t.shape for t in got]:
        return -200.0
    return min((sqnr_db(a, b) for a, b in zip(expected, got, strict=True)), default=200.0)


def sqnr_db(reference: Tensor, value: Tensor) -> float:
    """The power of a reference over that of the difference, at most 200 dB.

    Args:
        reference: any shape.
        value: the shape of `reference`.
    """
    finite = torch.isfinite(reference)
    noise = float((reference[finite].double() - value[finite].double()).square().sum())
    signal = float(reference[finite].double().square().sum())
    if noise == 0:
        return 200.0
    return max(-200.0, min(200.0, 10 * math.log10(signal / noise))) if signal > 0 and math.isfinite(noise) else -200.0


def main(words: list[str]) -> int:
    """Try one model and write what was found."""
    name, result = words
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        found = Trial(name, subjects()[name], Path(folder)).run()
    Path(result).write_text(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
