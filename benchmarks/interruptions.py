"""kill -9 at random moments of every long job: the same bits, nothing done twice, nothing of another run taken.

Each job runs in a child of a process that has everything loaded, so that a start takes no seconds. A child is killed
at a random moment, and the job started again on the same folder until it ends. What it gives is held against a run that
was not interrupted; files of finished parts must not have been written anew. Then two processes start on one folder at
the same time, and the folder is given to the job with other data. What is found is kept in the system's folder for
temporary files, so that this benchmark itself goes on where it was interrupted.
"""

import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from benchmarks.figure import Figure
from benchmarks.long_jobs import JOBS, Given, Job, given
from microjoule.errors import MicrojouleError
from microjoule.execution.tasks import run_tasks
from microjoule.jobs.identity import Identity, option_facts
from microjoule.jobs.run_folder import RunFolder

KILLS, MANY = 20, 100
"""Moments for each job, and for two of them."""

KILLED_OFTEN = ("train", "gptq")

REWRITTEN = "state-"
"""How files begin that hold the last state of several."""

TRIES = 40
"""Starts, at most, until a kill has come before the end."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job.

    Args:
        kills: how often it was killed.
        same: how often it ended in the same bits then.
        parts: files of finished parts that the kills left, over all of them.
        repeated: how many of them were written anew.
        damaged: parts that were found damaged.
        together: of two processes on one folder, how many ended in the same bits and how many were refused.
        refused: whether the job with other data was refused.
    """

    kills: int
    same: int
    parts: int
    repeated: int
    damaged: int
    together: tuple[int, int]
    refused: bool


def figures(data: Path) -> Iterator[Figure]:
    """A figure for each job, and what two processes do on one folder.

    Args:
        data: is not read.
    """
    del data
    place = Path(tempfile.gettempdir()) / "microjoule-interruptions"
    found: dict[str, Outcome] = {}
    with RunFolder(place, lambda: Identity.of(option_facts({"kills": KILLS, "many": MANY}))) as kept:
        for name in JOBS:
            found |= run_tasks(lambda: _measured, [name], kept, _parsed, label="jobs to interrupt")
            one = found[name]
            told = (
                f"{one.parts} finished parts were left by the kills, {one.repeated} done again, {one.damaged} damaged"
            )
            right = one.same if not one.repeated and not one.damaged else 0
            yield Figure(f"{name}, killed and right", right / one.kills, f"of {one.kills} kills", "== 1", told)
    both, refused = (sum(one.together[at] for one in found.values()) for at in (0, 1))
    told = f"{both} right, {refused} refused, of {2 * len(found)} started"
    right = sum(sum(one.together) == 2 and one.together[0] > 0 for one in found.values())
    yield Figure("two processes on one folder, right or refused", right / len(found), "of the jobs", "== 1", told)
    stale = sum(one.refused for one in found.values())
    yield Figure("another value in the data, refused", stale / len(found), "of the jobs", "== 1", "in the same folder")


def _measured(name: str) -> str:
    """A job examined in a process of its own, in which nothing has run yet."""
    kills = MANY if name in KILLED_OFTEN else KILLS
    os.environ["OMP_NUM_THREADS"] = "1"
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return json.dumps(asdict(pool.apply(examined, (name, kills))))


def _parsed(text: str) -> Outcome:
    content = json.loads(text)
    return Outcome(**{**content, "together": tuple(content["together"])})


# In the process of a job ----------------------------------------------------------------------------------------------


def examined(name: str, kills: int, jobs: Mapping[str, Job] = JOBS) -> Outcome:
    """Interrupt a job many times.

    Args:
        name: of the job.
        kills: how many times.
        jobs: by name.
    """
    torch.set_num_threads(1)
    it, job, chance = given(), jobs[name], random.Random(name)
    with tempfile.TemporaryDirectory(prefix="microjoule-") as place:
        folder = Path(place) / "alone"
        whole, seconds = _timed(_Child(job, it, folder))
        assert "digest" in whole, whole
        same = parts = repeated = damaged = 0
        for number in range(kills):
            folder = Path(place) / str(number)
            seconds = _killed(job, it, folder, chance, seconds)
            before = _finished(folder)
            ended = _Child(job, it, folder).ended()
            after = _finished(folder)
            same += ended.get("digest") == whole["digest"]
            parts += len(before)
            repeated += sum(after.get(path) != mark for path, mark in before.items() if REWRITTEN not in path)
            damaged += int(str(ended.get("damaged", 0)))
            if ended.get("digest") != whole["digest"]:
                sys.stderr.write(f"{name}, kill {number}: {ended}\n")
        pair = [_Child(job, it, Path(place) / "together") for _ in range(2)]
        ends = [child.ended() for child in pair]
        both = sum(end.get("digest") == whole["digest"] for end in ends)
        refused = sum("is in use by process" in str(end.get("refused", "")) for end in ends)
        other = _Child(job, it.with_other_data(), Path(place) / "alone").ended()
        stale = "another run" in str(other.get("refused", ""))
    return Outcome(kills, same, parts, repeated, damaged, (both, refused), stale)


class _Child:
    """A job in a child of this process, from the moment that it is made."""

    def __init__(self, job: Job, it: Given, folder: Path) -> None:
        descriptor, self.path = tempfile.mkstemp(suffix=".json")
        self.pid = os.fork()
        if self.pid:
            os.close(descriptor)
            return
        try:
            os.write(descriptor, json.dumps(_ran(job, it, folder)).encode())
        finally:
            os._exit(0)

    def is_done(self) -> bool:
        """Whether it has ended by itself."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def kill(self) -> None:
        """End it, whatever it does."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        Path(self.path).unlink()

    def ended(self) -> dict[str, object]:
        """What it gave, once it has ended."""
        os.waitpid(self.pid, 0)
        content: dict[str, object] = json.loads(Path(self.path).read_text() or "{}")
        Path(self.path).unlink()
        return content


def _ran(job: Job, it: Given, folder: Path) -> dict[str, object]:
    """A job's result, or why it has none; and the parts that it found damaged."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            found: dict[str, object] = {"digest": job(it, folder)}
        except MicrojouleError as error:
            found = {"refused": str(error)}
        except Exception:  # whatever it is, it is what is looked for
            found = {"failed": traceback.format_exc()}
    return found | {"damaged": sum("is done again" in str(one.message) for one in seen)}


def _timed(child: _Child) -> tuple[dict[str, object], float]:
    started = time.perf_counter()
    return child.ended(), time.perf_counter() - started


def _killed(job: Job, it: Given, folder: Path, chance: random.Random, seconds: float) -> float:
    """Kill a job at a moment of the seconds that it takes; returns these, as they were if it ended before."""
    for _ in range(TRIES):
        child, started = _Child(job, it, folder), time.perf_counter()
        time.sleep(chance.random() * seconds)
        if not child.is_done():
            child.kill()
            return seconds
        child.ended()
        seconds = min(seconds, time.perf_counter() - started)
        shutil.rmtree(folder, ignore_errors=True)
    raise AssertionError(f"ended {TRIES} times before it was killed")


def _finished(folder: Path) -> dict[str, tuple[int, int]]:
    """Finished files, with what changes when one is written anew."""
    found = (path for path in folder.rglob("*") if path.suffix in {".safetensors", ".mj"})
    return {str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}
