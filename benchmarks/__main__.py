"""The command line of the benchmarks."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import (
    against_aimet,
    arena,
    auto,
    bayesian,
    compression_by_aimet,
    compression_cifar10,
    compression_imagenet,
    compression_to_int8,
    compression_widths,
    coverage,
    criteria,
    data_free,
    executorch_order,
    finetuning,
    first_layer,
    fitted_rounding,
    fitting_memory,
    interruptions,
    latency_budget,
    memory,
    mixed_precision,
    operators,
    qdrop,
    random_networks,
    scheduling,
    sixteen_bits,
)
from benchmarks.allocator import restart_tuned
from benchmarks.environment import ROOT
from benchmarks.figure import MISSED
from benchmarks.partial_results import opened, state_of
from benchmarks.results import Results, load_all, page, save
from benchmarks.runner import Benchmark, run, summary
from microjoule.errors import MicrojouleError, SettingError
from microjoule.records.files import write_atomically

PARTIAL = ROOT / "build" / "benchmarks" / "partial"

BENCHMARKS: dict[str, Benchmark] = {
    "data_free": data_free,
    "first_layer": first_layer,
    "fitted_rounding": fitted_rounding,
    "fitting_memory": fitting_memory,
    "memory": memory,
    "sixteen_bits": sixteen_bits,
    "coverage": coverage,
    "operators": operators,
    "random_networks": random_networks,
    "interruptions": interruptions,
    "mixed_precision": mixed_precision,
    "qdrop": qdrop,
    "against_aimet": against_aimet,
    "auto": auto,
    "compression_cifar10": compression_cifar10,
    "compression_imagenet": compression_imagenet,
    "compression_by_aimet": compression_by_aimet,
    "compression_to_int8": compression_to_int8,
    "compression_widths": compression_widths,
    "criteria": criteria,
    "latency_budget": latency_budget,
    "bayesian": bayesian,
    "finetuning": finetuning,
    "arena": arena,
    "scheduling": scheduling,
    "executorch_order": executorch_order,
}
"""Name -> module; a new benchmark is imported above and named here."""


def main(arguments: Sequence[str], benchmarks: Mapping[str, Benchmark] = BENCHMARKS) -> int:
    """Run a command line.

    Returns:
        0 if no goal is missed, 1 if one is, 2 if the command cannot be carried out, 130 if interrupted.
    """
    options = _parser().parse_args(arguments)
    if options.list:
        for name, benchmark in benchmarks.items():
            sys.stdout.write(f"{name}\t{summary(benchmark)}\n")
        return 0
    try:
        finished = _run_all(options, benchmarks)
    except MicrojouleError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: the same command goes on with the benchmark that was running\n")
        return 130
    missed = any(timed.figure.state == MISSED for results in finished for timed in results.figures)
    return int(missed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure what microjoule claims.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="which benchmarks to run")
    parser.add_argument("--list", action="store_true", help="print the names and what they measure")
    parser.add_argument("--all", action="store_true", help="run every benchmark")
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("MICROJOULE_DATA"), help="the data folder (MICROJOULE_DATA)"
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="where NAME.json is written")
    parser.add_argument(
        "--partial", type=Path, default=PARTIAL, help="keeps what is done of a benchmark that is interrupted"
    )
    parser.add_argument("--docs", type=Path, help="the page to write from all results in --out")
    return parser


def _run_all(options: argparse.Namespace, benchmarks: Mapping[str, Benchmark]) -> list[Results]:
    names = _chosen(options, benchmarks)
    data = _data_folder(options.data)
    finished, state = [], state_of(data)
    for name in names:
        partial = opened(options.partial, name, state)
        results = run(name, benchmarks[name], data, partial)
        save(results, options.out)
        partial.finish()
        finished.append(results)
        if options.docs is not None:
            write_atomically(options.docs, page(load_all(options.out)).encode())
    return finished


def _chosen(options: argparse.Namespace, benchmarks: Mapping[str, Benchmark]) -> list[str]:
    names = list(benchmarks) if options.all else list(dict.fromkeys(options.names))
    if not names:
        raise SettingError("benchmarks", "none is named", remedy="name some, or --all; --list prints what there is")
    for name in names:
        if name not in benchmarks:
            raise SettingError(
                name, "there is no such benchmark", remedy=f"choose from: {', '.join(benchmarks) or '(none)'}"
            )
    return names


def _data_folder(folder: Path | None) -> Path:
    if folder is None:
        raise SettingError("--data", "no data folder is named", remedy="name it, or set MICROJOULE_DATA")
    if not folder.is_dir():
        raise SettingError("--data", f"{folder} is not a folder", remedy="name the folder that holds the data sets")
    return folder.resolve()


if __name__ == "__main__":
    restart_tuned()
    sys.exit(main(sys.argv[1:]))
