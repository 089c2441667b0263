"""A process restarts itself once, as the same command, with an allocator that keeps large blocks."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.allocator import THRESHOLDS, is_tuned, restart_tuned

ROOT = Path(__file__).parents[2]
GLIBC = platform.libc_ver()[0] == "glibc"

TELL = """
import resource, sys
from benchmarks.allocator import is_tuned, restart_tuned
restart_tuned()
import numpy
block = 38_400_000
def page_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    numpy.ones(block // 4, dtype=numpy.float32)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
page_faults()
print(is_tuned(), sys.argv[1:], sum(page_faults() for _ in range(5)))
"""


def tell(code: str) -> list[str]:
    """What a process that was started with glibc's own thresholds prints."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MALLOC_")}
    command = [sys.executable, "-c", code, "--two words", "x"]
    return subprocess.run(command, cwd=ROOT, env=clean, text=True, capture_output=True, check=True).stdout.split(" ", 1)


def page_faults(printed: str) -> int:
    """The last number of a line."""
    return int(printed.rsplit(" ", 1)[1])


def test_a_tuned_process_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr(os, "execve", lambda *_: pytest.fail("restarted"))
    for name, value in THRESHOLDS.items():
        monkeypatch.setenv(name, value)
    assert is_tuned()
    restart_tuned()


@pytest.mark.parametrize("name", THRESHOLDS)
def test_another_allocator_is_left_as_it_is_and_glibc_needs_every_threshold(monkeypatch, name):
    for one, value in THRESHOLDS.items():
        monkeypatch.setenv(one, value)
    monkeypatch.setenv(name, "1")
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.36"))
    assert not is_tuned()
    monkeypatch.setattr(platform, "libc_ver", lambda: ("musl", "1.2"))
    assert is_tuned()


def test_a_restarted_process_has_the_same_arguments():
    tuned, rest = tell(TELL)
    assert tuned == "True"
    assert rest.startswith("['--two words', 'x']")


@pytest.mark.parametrize("is_restarted", [True, False] if GLIBC else [])
def test_large_blocks_are_paid_for_in_page_faults_only_without_it(is_restarted):
    """38.4 MB are 9375 pages of 4 KiB; with huge pages a fault brings in 512 of them, hence the low bound."""
    _, rest = tell(TELL if is_restarted else TELL.replace("\nrestart_tuned()", ""))
    assert (page_faults(rest) <= 5) == is_restarted
