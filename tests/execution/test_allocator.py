import platform
import subprocess
import sys

import pytest

from microjoule.execution import allocator
from microjoule.execution.allocator import (
    KEEP_BYTES,
    M_MMAP_THRESHOLD,
    M_TRIM_THRESHOLD,
    MMAP_BYTES,
    release,
    tune_allocator,
)

RESIDENT = """
from pathlib import Path

import torch
from microjoule.execution.allocator import release, tune_allocator

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

assert tune_allocator()
pieces = [torch.ones(2**18) for _ in range(200)]
last = pieces[-1]
del pieces
before = resident()
assert release()
print(before - resident())
"""

PAGE_FAULTS = """
import resource
import torch
from microjoule.execution.allocator import tune_allocator

if {tuned}:
    assert tune_allocator()
for _ in range(10):
    torch.ones(16 * 2**20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(16 * 2**20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(*, tuned):
    """How many pages the kernel had to give for ten tensors of 64 MiB, one after another."""
    command = [sys.executable, "-c", PAGE_FAULTS.format(tuned=tuned)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_on_another_c_library_nothing_is_done(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: pytest.fail("no library may be loaded"))
    assert tune_allocator() is False
    assert release() is False


class Library:
    """A C library that notes what it is told."""

    def __init__(self, answers):
        self.answers = iter(answers)
        self.told = []

    def mallopt(self, parameter, value):
        self.told.append((parameter, value))
        return next(self.answers)


@pytest.mark.parametrize(("answers", "expected"), [((1, 1), True), ((0, 1), False), ((1, 0), False)])
def test_both_thresholds_must_be_taken(answers, expected, monkeypatch):
    library = Library(answers)
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.39"))
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: library)
    assert tune_allocator() is expected
    assert library.told == [(M_MMAP_THRESHOLD, MMAP_BYTES), (M_TRIM_THRESHOLD, KEEP_BYTES)][: len(library.told)]


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc's malloc")
def test_large_tensors_get_their_memory_again_without_asking_the_kernel():
    assert page_faults(tuned=True) < page_faults(tuned=False) / 100


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc's malloc")
def test_kept_memory_is_given_back_even_below_what_is_in_use():
    told = subprocess.run([sys.executable, "-c", RESIDENT], capture_output=True, text=True, check=True).stdout
    assert int(told) > 150 * 2**20
