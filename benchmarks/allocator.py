"""A process whose large tensors are not given back to the system after every operator.

By default glibc maps every block above 32 MiB afresh and unmaps it when freed, so that each large tensor is
paid for in page faults: a multiplication of 9.6 M floats takes several times as long as the arithmetic.
The thresholds are read when a process starts, so the process replaces itself by one that has them.
"""

import os
import platform
import sys

THRESHOLDS = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**32)}
"""Blocks below 1 GiB come from the heap, and the heap keeps up to 4 GiB: more than any tensor, or run, here needs."""


def is_tuned() -> bool:
    """Whether this process has the thresholds, or an allocator that does not know them."""
    return platform.libc_ver()[0] != "glibc" or all(os.environ.get(name) == value for name, value in THRESHOLDS.items())


def restart_tuned() -> None:
    """Replace this process by the same command with the thresholds set; return if it has them."""
    if not is_tuned():
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **THRESHOLDS})
