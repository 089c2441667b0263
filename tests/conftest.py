"""What holds for every test: few threads, no skips where all is installed, and the folder of real data."""

import os
from collections.abc import Generator
from pathlib import Path

# Two workers share two cores; the libraries read these when they are loaded. Fewer that are set outside count; a worker
# has what the process that started it set here.
THREADS = "1" if "PYTEST_XDIST_WORKER" in os.environ else "2"
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, THREADS)

import pytest  # noqa: E402  the threads come first
import torch  # noqa: E402
from hypothesis import settings  # noqa: E402

torch.set_num_threads(min(int(THREADS), int(os.environ["OMP_NUM_THREADS"])))

# The machine is shared, so the time of one example says nothing.
settings.register_profile("microjoule", deadline=None)
settings.load_profile("microjoule")

NO_SKIP = os.environ.get("MICROJOULE_NO_SKIP") == "1"
DATA = os.environ.get("MICROJOULE_DATA")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data sets that MICROJOULE_DATA names."""
    if DATA is None:
        pytest.skip("needs the data sets: set MICROJOULE_DATA to their folder")
    return Path(DATA)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where no test may be skipped and there is no data, leave the tests on data out, and count them as deselected."""
    if not NO_SKIP or DATA is not None:
        return
    on_data = [item for item in items if "data_folder" in getattr(item, "fixturenames", ())]
    if on_data:
        config.hook.pytest_deselected(items=on_data)
        items[:] = [item for item in items if item not in on_data]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport]:
    """Turn a skip into a failure where no test may be skipped; an expected failure is not a skip."""
    report = yield
    if NO_SKIP and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and MICROJOULE_NO_SKIP=1 allows no skip: {reason(report.longrepr)}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, pytest.CollectReport]:
    """The same for a file that is skipped as a whole."""
    report = yield
    if NO_SKIP and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped, and MICROJOULE_NO_SKIP=1 allows no skip: {reason(report.longrepr)}"
    return report


def reason(longrepr: object) -> str:
    """Why a test was skipped; pytest gives (path, line, reason)."""
    return str(longrepr[2]) if isinstance(longrepr, tuple) else str(longrepr)
