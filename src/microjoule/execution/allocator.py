"""Make large CPU tensors cheap: tell glibc's malloc to keep memory instead of returning it after each tensor.

By default every tensor over 32 MiB (and often smaller ones) is fresh memory from the kernel, whose pages are cleared at
first touch; an elementwise operator then takes 2 to 5 times as long. `tune_allocator` raises both thresholds for this
process. The environment variables MALLOC_MMAP_THRESHOLD_ and MALLOC_TRIM_THRESHOLD_ do the same for a new process.

What is kept is in pieces after a while, and new tensors lie beside them: `release` returns all of it now and then.
"""

import ctypes
import ctypes.util
import platform

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
KEEP_BYTES = 2**31 - 1
MMAP_BYTES = 2**30


def tune_allocator() -> bool:
    """Keep freed memory for the next tensor; returns whether this machine's allocator could be told so."""
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(ctypes.util.find_library("c"))
    return bool(library.mallopt(M_MMAP_THRESHOLD, MMAP_BYTES)) and bool(library.mallopt(M_TRIM_THRESHOLD, KEEP_BYTES))


def release() -> bool:
    """Give memory that is not in use back to the system; returns whether this machine's allocator could be told so."""
    if platform.libc_ver()[0] != "glibc":
        return False
    ctypes.CDLL(ctypes.util.find_library("c")).malloc_trim(0)
    return True
