import os
import platform
from importlib.metadata import version

import pytest

from microjoule.records import machine
from microjoule.records.machine import this_machine


def test_this_machine_is_named_whole():
    found = this_machine()
    assert found.python == platform.python_version()
    assert found.versions["torch"] == version("torch")
    assert found.versions["numpy"] == version("numpy")
    assert found.cores >= 1
    assert found.processor
    assert found.system


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("processor\t: 0\nmodel name\t: Fast CPU @ 3 GHz: new\n", "Fast CPU @ 3 GHz: new"),
        ("Hardware : BCM2835\n", "BCM2835"),
        ("model name :\ncpu model : MIPS 24K\n", "MIPS 24K"),
    ],
)
def test_the_processor_is_read_from_cpuinfo(tmp_path, monkeypatch, text, name):
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "cpuinfo")
    assert this_machine().processor == name


@pytest.mark.parametrize("architecture", ["riscv64", ""])
def test_without_cpuinfo_the_platform_names_the_processor(tmp_path, monkeypatch, architecture):
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "missing")
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: architecture)
    assert this_machine().processor == (architecture or "unknown")


def test_the_cores_are_those_that_this_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 3, 5}, raising=False)
    assert this_machine().cores == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert this_machine().cores == 1


def test_a_package_that_is_not_installed_is_left_out(monkeypatch):
    monkeypatch.setattr(machine, "PACKAGES", ("numpy", "surely-not-installed"))
    assert list(this_machine().versions) == ["numpy"]
