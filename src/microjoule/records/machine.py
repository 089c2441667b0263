"""Where and with what a run is made, found without importing what is asked about."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from microjoule.records.measured import Machine

PACKAGES = ("microjoule", "torch", "onnxruntime", "onnx", "numpy")
"""What decides a run's numbers and its speed."""

CPUINFO = Path("/proc/cpuinfo")


def this_machine() -> Machine:
    """The processor, the cores this process may use, the system, and the versions of what is installed."""
    return Machine(
        processor=_processor(),
        cores=_cores(),
        system=platform.platform(terse=True),
        python=platform.python_version(),
        versions={name: found for name in PACKAGES if (found := _version(name)) is not None},
    )


def _processor() -> str:
    # Linux names the processor in this file alone; platform.processor() gives an architecture or nothing there.
    try:
        lines = CPUINFO.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip().lower() in ("model name", "hardware", "cpu model") and value.strip():
            return value.strip()
    return platform.processor() or platform.machine() or "unknown"


def _cores() -> int:
    # A container or taskset allows fewer cores than the machine has; not every system can tell.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
