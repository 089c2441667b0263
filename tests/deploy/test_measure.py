import pytest

from microjoule.deploy import measure as measuring
from microjoule.deploy.measure import measure, measure_together
from microjoule.deploy.onnx_file import export
from microjoule.errors import FileError, SettingError
from tests.deploy.networks import small


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("measure") / "x.onnx"
    export(small("conv")[0], path)
    return path


def test_a_file_is_measured(path):
    found = measure(path, runs=7, threads=1, batch=2, stage="W8A8")
    assert (found.runs, found.threads, found.batch, found.stage, found.path) == (7, 1, 2, "W8A8", str(path))
    assert 0 < found.latency_low_ms <= found.latency_ms <= found.latency_high_ms
    assert found.size_bytes == path.stat().st_size
    assert found.runtime.startswith("onnxruntime ")
    assert "onnxruntime" in found.machine.versions


def test_memory_is_that_of_the_process_alone(path):
    """Python, numpy and ONNX Runtime take some 60 MB; this process, with torch, takes several times that."""
    assert 2**24 < measure(path, runs=1).peak_memory_bytes < 2**28


def test_several_files_take_turns(path, monkeypatch):
    turns = []
    run = measuring._Process.run

    def watched(self, runs):
        turns.append((self, runs))
        return run(self, runs)

    monkeypatch.setattr(measuring._Process, "run", watched)
    found = measure_together([path, path], runs=52, threads=1, stages=["a"])
    first, second = turns[0][0], turns[1][0]
    assert turns == [(first, 10), (second, 10), (first, 50), (second, 50), (first, 2), (second, 2)]
    assert [record.runs for record in found] == [52, 52]
    assert [record.stage for record in found] == ["a", ""]


def test_processes_end(path, monkeypatch):
    started = []
    enter = measuring._Process.__enter__
    monkeypatch.setattr(measuring._Process, "__enter__", lambda self: started.append(self) or enter(self))
    measure(path, runs=1)
    assert started[0].process.returncode is not None


def test_a_file_that_is_no_model_is_refused(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"nothing")
    with pytest.raises(FileError, match="is no ONNX file, or a damaged one"):
        measure(tmp_path / "x.onnx")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(FileError, match="is no file"):
        measure(tmp_path / "none.onnx")


@pytest.mark.parametrize("setting", ["runs", "threads", "batch"])
def test_numbers_below_one_are_refused(setting, path):
    with pytest.raises(SettingError, match=f"{setting}: is 0"):
        measure(path, **{setting: 0})


def test_a_process_that_dies_is_reported(path, monkeypatch):
    ask = measuring._Process._ask

    def killed(self, order):
        if "runs" in order:
            self.process.kill()
            self.process.wait()
        return ask(self, order)

    monkeypatch.setattr(measuring._Process, "_ask", killed)
    with pytest.raises(FileError, match="ended without a word"):
        measure(path, runs=1)
