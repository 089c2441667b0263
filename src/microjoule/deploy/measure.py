"""How long a model file takes, how large it is, and how much memory it needs.

Each file runs in a process of its own: several live sessions in one process spin against each other and falsify the
ratio. Several files take turns, so that whatever else the machine does hits all of them alike.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from microjoule.deploy import measure_process
from microjoule.errors import FileError, SettingError
from microjoule.records.machine import this_machine
from microjoule.records.measured import Measured

WARM_UP = 10
RUNS_A_TURN = 50
PAUSE_SECONDS = 0.2
"""Before each turn: for a tenth of a second the other process's threads go on spinning, in wait of a next run. On two
cores a pause of 0.02 seconds triples the median, and makes a ratio of 0.48 anything between 0.2 and 0.8."""

NO_ONNX = "INVALID_PROTOBUF"
"""What ONNX Runtime says of a file of another kind."""


def measure(path: str | Path, *, runs: int = 50, threads: int = 2, batch: int = 1, stage: str = "") -> Measured:
    """Measure one model file.

    Args:
        path: an ONNX file.
        runs: how many runs are timed, after a warm-up.
        threads: how many the runtime uses.
        batch: how many samples a run has.
        stage: which network this is, for the report.

    Raises:
        FileError: if the file is missing, or ONNX Runtime does not run it.
        SettingError: for numbers below 1.
    """
    return measure_together([path], runs=runs, threads=threads, batch=batch, stages=[stage])[0]


def measure_together(
    paths: Sequence[str | Path], *, runs: int = 50, threads: int = 2, batch: int = 1, stages: Sequence[str] = ()
) -> list[Measured]:
    """Measure several model files in turns, so that they can be compared.

    Args:
        paths: ONNX files.
        runs: how many runs of each are timed, after a warm-up.
        threads: how many the runtime uses.
        batch: how many samples a run has.
        stages: which network each is, for the report.

    Raises:
        FileError, SettingError: as `measure`.
    """
    for name, number in (("runs", runs), ("threads", threads), ("batch", batch)):
        if number < 1:
            raise SettingError(name, f"is {number}", remedy="use at least 1")
    for path in paths:
        if not Path(path).is_file():
            raise FileError(str(path), "is no file", remedy="check the path")
    times: list[list[float]] = [[] for _ in paths]
    with ExitStack() as stack:
        started = [stack.enter_context(_Process(path, threads, batch)) for path in paths]
        for process in started:
            process.run(WARM_UP)
        for done in range(0, runs, RUNS_A_TURN):
            for process, gathered in zip(started, times, strict=True):
                time.sleep(PAUSE_SECONDS)
                gathered.extend(process.run(min(RUNS_A_TURN, runs - done)))
        ends = [process.stop() for process in started]
    names = [*stages, *[""] * (len(paths) - len(stages))]
    return [_record(*entry, threads=threads, batch=batch) for entry in zip(paths, times, ends, names, strict=True)]


def _record(
    path: str | Path, times: list[float], end: dict[str, Any], stage: str, *, threads: int, batch: int
) -> Measured:
    tenths = statistics.quantiles(times, n=10, method="inclusive") if len(times) > 1 else times * 9
    return Measured(
        path=str(path),
        runtime=str(end["runtime"]),
        threads=threads,
        batch=batch,
        runs=len(times),
        latency_ms=statistics.median(times),
        latency_low_ms=tenths[0],
        latency_high_ms=tenths[-1],
        size_bytes=Path(path).stat().st_size,
        peak_memory_bytes=int(end["peak_bytes"]),
        machine=this_machine(),
        stage=stage,
    )


class _Process:
    """A process that holds one file, and waits for orders."""

    def __init__(self, path: str | Path, threads: int, batch: int) -> None:
        self.path = str(path)
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed in __exit__
        # -P: the folder of that script is no place to import from, its files are named like parts of Python.
        command = [sys.executable, "-P", str(Path(measure_process.__file__))]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True, env=environment
        )
        self.first = {"path": str(Path(path).resolve()), "threads": threads, "batch": batch}

    def __enter__(self) -> "_Process":
        try:
            self._ask(self.first)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process, whatever it does."""
        self.process.kill()
        self.process.communicate()
        self.errors.close()

    def run(self, runs: int) -> list[float]:
        """Some runs; returns the milliseconds of each."""
        found: list[float] = self._ask({"runs": runs})["milliseconds"]
        return found

    def stop(self) -> dict[str, Any]:
        """The last order; returns what the process has to say of itself."""
        return self._ask({"stop": True})

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        answer: dict[str, Any] = json.loads(line) if line.startswith("{") else {"error": self._last_words()}
        if NO_ONNX in str(answer.get("error")):
            raise FileError(
                self.path, "is no ONNX file, or a damaged one", remedy="export the network: microjoule export"
            )
        if "error" in answer:
            raise FileError(
                self.path,
                f"ONNX Runtime does not run it: {answer['error']}",
                remedy="export it again, or give another batch",
            )
        return answer

    def _last_words(self) -> str:
        self.errors.seek(0)
        lines = [line.strip() for line in self.errors.read().splitlines() if line.strip()]
        return lines[-1] if lines else "its process ended without a word"
