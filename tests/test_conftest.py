"""A skip fails where none is allowed, and nowhere else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SAMPLE = """
import pytest

def test_passes(): pass

def test_skips(): pytest.skip("no browser")

@pytest.mark.xfail(strict=True)
def test_is_expected_to_fail(): assert False

def test_on_data(data_folder): assert data_folder.name == "somewhere"
"""


def outcome(folder: Path, sample: str = SAMPLE, **environment: str) -> str:
    """The output of pytest on a sample under our conftest."""
    shutil.copy(Path(__file__).with_name("conftest.py"), folder)
    (folder / "test_sample.py").write_text(sample)
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("MICROJOULE_", "PYTEST_"))}
    command = [sys.executable, "-m", "pytest", "-ra", "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder)]
    return subprocess.run(command, env=clean | environment, text=True, capture_output=True, check=False).stdout


@pytest.mark.slow
def test_a_skip_is_a_skip_on_a_persons_machine(tmp_path):
    assert "1 passed, 2 skipped, 1 xfailed" in outcome(tmp_path)


@pytest.mark.slow
def test_a_skip_is_a_failure_where_none_is_allowed_and_tests_on_data_are_left_out(tmp_path):
    text = outcome(tmp_path, MICROJOULE_NO_SKIP="1")
    assert "1 failed, 1 passed, 1 deselected, 1 xfailed" in text
    assert "allows no skip: " in text
    assert "no browser" in text


@pytest.mark.slow
def test_tests_on_data_run_where_the_data_is_named(tmp_path):
    text = outcome(tmp_path, MICROJOULE_NO_SKIP="1", MICROJOULE_DATA="/somewhere")
    assert "1 failed, 2 passed, 1 xfailed" in text


@pytest.mark.slow
@pytest.mark.parametrize(("no_skip", "expected"), [("0", "1 skipped"), ("1", "1 error")])
def test_a_file_skipped_as_a_whole_counts_too(tmp_path, no_skip, expected):
    sample = "import pytest\npytest.importorskip('no_such_module_at_all')\ndef test_nothing(): pass\n"
    assert expected in outcome(tmp_path, sample, MICROJOULE_NO_SKIP=no_skip)
