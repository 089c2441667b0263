"""The last mile of a quantized network: saved, exported, verified, measured and reported, and every file named."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from microjoule.costs.count import costs
from microjoule.deploy.measure import measure_together
from microjoule.deploy.onnx_file import export
from microjoule.deploy.verify import verify
from microjoule.errors import GraphError, MicrojouleError
from microjoule.graph.network import Network, takes_network
from microjoule.quantization.spread import errors_by_layer
from microjoule.recipes.report import report as write_report
from microjoule.records.decided import Reached
from microjoule.records.facts import Record
from microjoule.records.files import check_places
from microjoule.records.measured import Costs, Exported, Measured, Verified

FLOAT = "fp32"
"""What the network before quantization is called in records."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """What was written of a network, and what was found of it.

    Args:
        network: the quantized one, with all of that in its history.
        path: of the file of that network, which `mj.load` reads.
        onnx: of its integer model.
        report: of the page.
        verified: the simulation against each runtime.
        measured: the integer model, and before it the one in floating point, if that was given.
        ram_bytes: that activations take at once, for one sample, in the order of the network.
    """

    network: Network
    path: Path
    onnx: Path
    report: Path
    verified: tuple[Verified, ...]
    measured: tuple[Measured, ...]
    ram_bytes: int

    @property
    def agrees(self) -> bool:
        """Whether the integer model computes in every runtime what was simulated."""
        return all(record.passed for record in self.verified)

    @property
    def flash_bytes(self) -> int:
        """Of the integer model's file."""
        return self.measured[-1].size_bytes

    @property
    def reached(self) -> Reached | None:
        """What `reach` tried, and whether what was asked for was met; None of a network that it did not find."""
        return next((record for record in reversed(self.network.history) if isinstance(record, Reached)), None)

    @property
    def files(self) -> dict[Path, str]:
        """Every file that was written, and what it is."""
        return {
            self.path: "the quantized network, which verify, report and mj.load read",
            self.onnx: "the integer model, which ONNX Runtime runs as it is",
            self.report: "the report",
        }


@takes_network
def deliver(
    network: Network,
    out: str | Path,
    data: Any,
    *,
    original: Network | None = None,
    stage: str = "int8",
    onnx: str | Path | None = None,
    report: str | Path | None = None,
    title: str = "Quantization report",
    samples: int = 64,
    runs: int = 50,
    threads: int = 1,
) -> Delivered:
    """Save a quantized network, export it, compare file and simulation, measure, and write the report.

    The network is saved first, so that nothing is lost if a later step fails, and again with all that was found.

    Args:
        network: with quantizers, calibrated; it is left alone.
        out: the files' name without a suffix: "out/digits" gives out/digits.mj, .onnx and .html; the folder is there.
        data: inputs to compare on, in any form that `batches` takes; labels are not read.
        original: the network before it was quantized, to measure beside it; None measures the integer model alone.
        stage: what to call the quantized network in records.
        onnx: where the integer model goes instead.
        report: where the page goes instead.
        title: the page's heading.
        samples: how many inputs are compared, the first ones.
        runs: how many runs of each model are timed, after a warm-up.
        threads: of the runtime, while it is timed.

    Raises:
        GraphError: if the network has no quantizers.
        ExportError: if it cannot be exported.
        FileError: if a file cannot be written, or ONNX Runtime does not run it.
        DataError: if the data is empty or does not fit.
    """
    if not network.quantizers:
        raise GraphError("network", "has no quantizers", remedy="quantize it first, or export it as it is: mj.export")
    path, model, page = Path(f"{out}.mj"), Path(onnx or f"{out}.onnx"), Path(report or f"{out}.html")
    check_places([path, model, page])
    own = network.copy()
    own.save(path)
    try:
        exported = export(own, model, stage=stage)
        verified = verify(own, model, data, samples=samples)
        ram = _costs(own, original, stage)
        errors_by_layer(own, data, samples=samples, stage=stage)
        measured = _measured(exported, original, runs, threads)
        own.history += [*measured]
        written = write_report(own, page, title=title)
        own.save(path)
    except MicrojouleError as error:
        error.add_note(f"{path} is the quantized network, saved before that")
        raise
    return Delivered(own, path, model, written, tuple(verified), measured, ram)


def _measured(exported: Exported, original: Network | None, runs: int, threads: int) -> tuple[Measured, ...]:
    """The integer model in ONNX Runtime, in turns with the network in floating point, whose file goes again."""
    with tempfile.TemporaryDirectory(prefix="microjoule-") as folder:
        floating = Path(folder) / f"{FLOAT}.onnx"
        beside = [] if original is None else [export(original.copy(), floating, stage=FLOAT)]
        models = [*beside, exported]
        paths, stages = [model.path for model in models], [model.stage for model in models]
        found = measure_together(paths, runs=runs, threads=threads, stages=stages)
    return (*(replace(one, path=Path(one.path).name) for one in found[:-1]), found[-1])


def _costs(network: Network, original: Network | None, stage: str) -> int:
    """Count what both networks cost, as far as the history does not tell; gives the quantized one's peak of memory."""
    if original is not None and not any(record.stage == FLOAT for record in _counted(network.history)):
        network.history.append(costs(original.copy(), stage=FLOAT))
    return costs(network, stage=stage).peak_bytes


def _counted(records: Sequence[Record]) -> list[Costs]:
    return [record for record in records if isinstance(record, Costs)]
