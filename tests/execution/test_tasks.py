"""Tasks: each once, in any process, resumed from their files; folders that are another run's."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from microjoule.errors import FileError, SettingError
from microjoule.execution import tasks
from microjoule.execution.tasks import IDENTITY, Jobs, digest, run_tasks

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


@pytest.mark.parametrize(
    "jobs", [Jobs(), Jobs(n_jobs=2, backend="threading"), Jobs(n_jobs=2, backend="multiprocessing")], ids=str
)
def test_each_task_is_done_once_and_keeps_its_place(jobs, tmp_path):
    notes = tmp_path / "notes"
    results = run_tasks(Doubling(str(notes)), TASKS, jobs, identity={}, label="")
    assert list(results.items()) == [(task, task + task) for task in TASKS]
    assert sorted(done(notes)) == TASKS


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path):
    notes, jobs = tmp_path / "notes", Jobs(folder=tmp_path / "deep" / "run")
    with pytest.raises(KeyboardInterrupt):
        run_tasks(Doubling(str(notes), stop="task 3"), TASKS, jobs, identity={"data": "a"}, label="")
    assert done(notes) == TASKS[:3]
    for _ in range(2):
        results = run_tasks(Doubling(str(notes)), TASKS, jobs, identity={"data": "a"}, label="")
        assert list(results) == TASKS
        assert done(notes) == TASKS
    more = run_tasks(Doubling(str(notes)), [*TASKS, "another"], jobs, identity={"data": "a"}, label="")
    assert more["another"] == "anotheranother"
    assert done(notes) == [*TASKS, "another"]


def test_the_bar_counts_what_the_folder_holds(tmp_path, monkeypatch):
    bars = []
    monkeypatch.setattr(tasks, "track", lambda items, label, **how: bars.append(how) or items)
    for names in (TASKS[:3], TASKS):
        run_tasks(Doubling(str(tmp_path / "notes")), names, Jobs(folder=tmp_path / "run"), identity={}, label="")
    assert bars == [{"total": 3, "done": 0}, {"total": 7, "done": 3}]


def test_names_that_look_the_same_as_files_have_files_of_their_own(tmp_path):
    tasks = ["a/b", "a b", "a\\b", "x" * 300, "x" * 301]
    for _ in range(2):
        results = run_tasks(
            Doubling(str(tmp_path / "notes")), tasks, Jobs(folder=tmp_path / "run"), identity={}, label=""
        )
        assert results == {task: task + task for task in tasks}


def test_the_folder_of_another_run_is_refused_and_left_alone(tmp_path):
    jobs = Jobs(folder=tmp_path)
    run_tasks(Doubling(str(tmp_path / "notes")), TASKS[:1], jobs, identity={"data": "a", "metric": "m"}, label="")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(FileError, match="holds the results of another run: its data differs"):
        run_tasks(Doubling(str(tmp_path / "notes")), TASKS, jobs, identity={"data": "b", "metric": "m"}, label="")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("content", ["", "[1]", "no json"])
def test_a_folder_whose_identity_cannot_be_read_is_refused(content, tmp_path):
    (tmp_path / IDENTITY).write_text(content)
    with pytest.raises(FileError, match="does not say which run this is"):
        run_tasks(Doubling(""), TASKS, Jobs(folder=tmp_path), identity={}, label="")


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(FileError, match="cannot be made a folder"):
        run_tasks(Doubling(""), TASKS, Jobs(folder=path), identity={}, label="")


def test_the_identity_can_be_read_by_people(tmp_path):
    run_tasks(Doubling(str(tmp_path / "notes")), TASKS, Jobs(folder=tmp_path), identity={"data": "photos"}, label="")
    assert json.loads((tmp_path / IDENTITY).read_text()) == {"data": "photos"}


def test_settings_that_cannot_be():
    with pytest.raises(SettingError, match="n_jobs: is 0"):
        Jobs(n_jobs=0)
    with pytest.raises(SettingError, match="backend: is 'nowhere'"):
        run_tasks(Doubling(""), TASKS, Jobs(n_jobs=2, backend="nowhere"), identity={}, label="")


def test_a_digest_tells_values_types_shapes_and_order_apart():
    x = torch.tensor([1.0, 2.0])
    values = [x, x.double(), x.reshape(2, 1), x.flip(0), [x, x], [x, 1], [x, 1.0], [x, "1"], "x", torch.tensor(1.0)]
    assert len({digest(value) for value in values}) == len(values)
    assert digest([x, object()]) == digest([x.clone()])
    assert digest(x.bfloat16()) != digest(x.half())
