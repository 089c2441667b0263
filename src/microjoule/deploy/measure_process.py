"""One model file in a process of its own: runs it when told to, and says how long each run took.

Started by `measure` as a script, without the rest of microjoule, so that the memory that it reports is the runtime's
and the model's. It reads one JSON object a line and answers with one:

    {"path": ..., "threads": 2, "batch": 1}  ->  {"ready": true}, or {"error": ...}
    {"runs": 5}                              ->  {"milliseconds": [...]}
    {"stop": true}                           ->  {"peak_bytes": ..., "runtime": ...}
"""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

NUMBERS = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(bool)": np.bool_,
}


def main() -> None:
    """Answer one line after another, until told to stop."""
    try:
        run = session(**json.loads(sys.stdin.readline()))
    except Exception as error:  # whatever it is, the process that asked reports it
        say({"error": str(error).splitlines()[0] if str(error) else type(error).__name__})
        return
    say({"ready": True})
    for line in sys.stdin:
        order = json.loads(line)
        if "stop" in order:
            say({"peak_bytes": peak_bytes(), "runtime": f"onnxruntime {onnxruntime.__version__}"})
            return
        run()  # the caches are another process's after its turn
        say({"milliseconds": [run() for _ in range(order["runs"])]})


def session(path: str, threads: int, batch: int) -> Any:
    """A function that runs the model once and returns how many milliseconds that took."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    opened = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(0)
    feed = {entry.name: values(entry, batch, generator) for entry in opened.get_inputs()}

    def run() -> float:
        started = time.perf_counter()
        opened.run(None, feed)
        return (time.perf_counter() - started) * 1e3

    return run


def values(entry: Any, batch: int, generator: np.random.Generator) -> np.ndarray:
    """Random numbers for one input; a free first dimension is the batch, any other is 1."""
    shape = [size if isinstance(size, int) else 1 for size in entry.shape]
    if entry.shape and not isinstance(entry.shape[0], int):
        shape[0] = batch
    elif entry.shape and batch not in (1, entry.shape[0]):
        raise ValueError(f"the file's batch is fixed at {entry.shape[0]}, got batch={batch}")
    kind = NUMBERS[entry.type]
    if np.issubdtype(kind, np.floating):
        return generator.standard_normal(shape).astype(kind)
    return np.zeros(shape, kind)


def peak_bytes() -> int:
    """The most memory that this process held at once."""
    # Linux: getrusage would count what the starting process held, too, as the peak survives the start of a program.
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def say(answer: dict[str, Any]) -> None:
    """One line to the process that asked."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
