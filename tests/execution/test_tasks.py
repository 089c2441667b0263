"""Tasks: each once, in any process, resumed from their files; results that are none are done again."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from microjoule.errors import FileError, SettingError
from microjoule.execution import tasks
from microjoule.execution.tasks import Jobs, run_tasks
from microjoule.jobs.identity import Identity
from microjoule.jobs.run_folder import RunFolder

TASKS = [f"task {index}" for index in range(7)]


@dataclass
class Doubling:
    """Writes each task down twice, and notes that it did; stops at one of them."""

    notes: str
    stop: str = ""

    def __call__(self):
        def work(task):
            if task == self.stop:
                raise KeyboardInterrupt
            with Path(self.notes).open("a") as file:
                file.write(task + "\n")
            return task + task

        return work


def done(path):
    return path.read_text().splitlines() if path.exists() else []


def run(work, names, folder=None, read=str, **how):
    with RunFolder(folder, Identity.of) as kept:
        return run_tasks(work, names, kept, read, label="", **how)


@pytest.mark.parametrize(
    "jobs", [None, Jobs(n_jobs=2, backend="threading"), Jobs(n_jobs=2, backend="multiprocessing")], ids=str
)
@pytest.mark.parametrize("kept", [False, True], ids=["nowhere", "folder"])
def test_each_task_is_done_once_and_keeps_its_place(jobs, kept, tmp_path):
    notes = tmp_path / "notes"
    for _ in range(1 + kept):
        results = run(Doubling(str(notes)), TASKS, tmp_path / "run" if kept else None, jobs=jobs)
        assert list(results.items()) == [(task, task + task) for task in TASKS]
        assert sorted(done(notes)) == TASKS


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path):
    notes, folder = tmp_path / "notes", tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        run(Doubling(str(notes), stop="task 3"), TASKS, folder)
    assert done(notes) == TASKS[:3]
    for _ in range(2):
        assert list(run(Doubling(str(notes)), TASKS, folder)) == TASKS
        assert done(notes) == TASKS
    assert run(Doubling(str(notes)), [*TASKS, "another"], folder)["another"] == "anotheranother"
    assert done(notes) == [*TASKS, "another"]


def test_the_bar_counts_what_the_folder_holds(tmp_path, monkeypatch):
    bars = []
    monkeypatch.setattr(tasks, "track", lambda items, label, **how: bars.append(how) or items)
    for names in (TASKS[:3], TASKS):
        run(Doubling(str(tmp_path / "notes")), names, tmp_path / "run")
    assert bars == [{"total": 3, "done": 0}, {"total": 7, "done": 3}]


def number(text):
    return {"1": 1}[text]


@pytest.mark.parametrize("content", ["no number", "", "2"])
def test_a_result_that_is_none_is_done_again(tmp_path, content):
    with RunFolder(tmp_path, Identity.of) as kept:
        kept.write("a", text=content)
        with pytest.warns(UserWarning, match=r"is damaged \(it is no result\); a is done again"):
            assert run_tasks(lambda: lambda _: "1", ["a"], kept, number, label="") == {"a": 1}
        assert run_tasks(lambda: pytest.fail("done again"), ["a"], kept, number, label="") == {"a": 1}


def test_a_folder_that_is_lost_meanwhile_is_told(tmp_path):
    def work(task):
        (tmp_path / "run").rename(tmp_path / "elsewhere")
        return task

    with pytest.raises(FileError, match="cannot be written"):
        run(lambda: work, TASKS, tmp_path / "run")


def where():
    return lambda _: str(os.getpid())


def test_processes_of_its_own_write_their_parts_while_the_folder_is_locked(tmp_path):
    pids = run(where, TASKS, tmp_path / "run", jobs=Jobs(2, "multiprocessing"))
    assert str(os.getpid()) not in pids.values()
    assert run(lambda: pytest.fail("done again"), TASKS, tmp_path / "run") == pids


def test_settings_that_cannot_be():
    with pytest.raises(SettingError, match="n_jobs: is 0"):
        Jobs(n_jobs=0)
    with pytest.raises(SettingError, match="backend: is 'nowhere'"):
        run(Doubling(""), TASKS, jobs=Jobs(n_jobs=2, backend="nowhere"))
