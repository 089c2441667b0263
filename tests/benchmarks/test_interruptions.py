"""Interruptions: a job is killed and right; a job that repeats, takes what is stale or ends otherwise is found out."""

import json
import multiprocessing
import os
import time
from dataclasses import replace

import pytest

from benchmarks import interruptions
from benchmarks.interruptions import Outcome, examined, figures
from benchmarks.long_jobs import JOBS
from microjoule.errors import FileError


@pytest.mark.slow
def test_a_job_is_killed_twice_and_ends_in_the_same_bits():
    """In a process of its own, in which nothing has run yet."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(examined, ("gptq", 2))
    assert (found.kills, found.same, found.repeated, found.damaged, found.refused) == (2, 2, 0, 0, True)
    assert sum(found.together) == 2
    assert found.together[0] >= 1


RIGHT = Outcome(20, 20, 7, 0, 0, (1, 1), refused=True)


@pytest.mark.parametrize(
    ("found", "missed"),
    [
        (RIGHT, []),
        (replace(RIGHT, same=19), ["one, killed and right"]),
        (replace(RIGHT, repeated=1), ["one, killed and right"]),
        (replace(RIGHT, damaged=1), ["one, killed and right"]),
        (replace(RIGHT, together=(0, 2)), ["two processes on one folder, right or refused"]),
        (replace(RIGHT, together=(1, 0)), ["two processes on one folder, right or refused"]),
        (replace(RIGHT, together=(2, 0)), []),
        (replace(RIGHT, refused=False), ["another value in the data, refused"]),
    ],
)
def test_a_goal_is_missed_by_each_thing_that_is_wrong(found, missed, tmp_path, monkeypatch):
    monkeypatch.setattr(interruptions, "JOBS", {"one": None})
    monkeypatch.setattr(interruptions.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(interruptions, "_measured", lambda _: json.dumps(interruptions.asdict(found)))
    yielded = list(figures(tmp_path))
    assert [figure.name for figure in yielded if figure.state == "missed"] == missed
    monkeypatch.setattr(interruptions, "_measured", lambda _: pytest.fail("measured again"))
    assert list(figures(tmp_path)) == yielded


def steps(it, folder, *, keeps=True, ends="same"):
    """A job of four parts that are files; without `keeps` it writes all of them anew."""
    if not folder.exists():
        folder.mkdir()
    if (folder / "busy").exists():
        raise FileError(str(folder), "is in use by process 1", remedy="wait")
    for number in range(4):
        path = folder / f"{number}.safetensors"
        if not keeps or not path.exists():
            time.sleep(0.1)
            path.write_text(str(number))
    return f"{ends} {os.getpid() if ends == 'different' else ''}"


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["repeated", "different"])
def test_what_is_wrong_is_found_out(wrong):
    def job(it, folder):
        return steps(it, folder, keeps=wrong != "repeated", ends=wrong)

    found = examined("job", 3, {"job": job})
    assert not found.refused
    assert (found.same == 3) == (wrong == "repeated")
    assert (found.repeated > 0) == (wrong == "repeated" and found.parts > 0)


def test_every_job_that_takes_a_folder_is_examined():
    assert set(JOBS) >= {"train", "bayesian_prune", "gptq", "adaround", "qdrop", "sensitivity", "pareto", "auto"}
