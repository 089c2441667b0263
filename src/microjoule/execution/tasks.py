"""Independent tasks, in processes or on a cluster; each result is a part of a run folder, and found there again."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from joblib import Parallel, delayed, effective_n_jobs, parallel_config

from microjoule.errors import SettingError
from microjoule.execution.progress import track
from microjoule.jobs.part import Part
from microjoule.jobs.run_folder import Parts, RunFolder

Work = Callable[[str], str]
"""The name of a task -> its result as text."""

R = TypeVar("R")

CHUNKS = 4
"""Chunks of tasks for each process: few, as each prepares the work anew; several, so that all end at the same time."""

STREAMING = ("loky", "threading")
"""The backends of joblib that hand over each chunk when it is done."""


@dataclass(frozen=True, slots=True)
class Jobs:
    """How independent tasks are run.

    Args:
        n_jobs: how many run at once, in joblib's way of counting: -1 is one a core. 1 runs them in this process.
        backend: joblib's: "loky" (processes), "threading", or one that was registered with joblib, as Ray's "ray" is.

    Raises:
        SettingError: for 0 jobs.
    """

    n_jobs: int = 1
    backend: str = "loky"

    def __post_init__(self) -> None:
        if self.n_jobs == 0:
            raise SettingError("n_jobs", "is 0", remedy="give 1 for this process alone, or -1 for one a core")


def run_tasks(
    prepare: Callable[[], Work],
    tasks: Sequence[str],
    run: RunFolder,
    read: Callable[[str], R],
    *,
    label: str,
    jobs: Jobs | None = None,
) -> dict[str, R]:
    """Run tasks, but for those whose results the folder holds already.

    Args:
        prepare: makes what runs a task, once for each chunk of tasks; it is pickled where the backend needs that.
        tasks: their names, each different.
        run: where results are kept.
        read: a text -> the result that it tells; ValueError, TypeError or KeyError if it tells none.
        label: what is being done, for the progress bar.
        jobs: how they are run; None runs them in this process.

    Returns:
        Task -> result, in the order of `tasks`.

    Raises:
        FileError: if the folder cannot be read or written.
        SettingError: for a backend that joblib does not know.
    """
    done = {task: found for task in tasks if (found := _kept(run, task, read)) is not None}
    missing = [task for task in tasks if task not in done]
    for task, text in track(
        _results(prepare, missing, run.parts, jobs or Jobs()), label, total=len(tasks), done=len(done)
    ):
        done[task] = read(text)
    return {task: done[task] for task in tasks}


def _kept(run: RunFolder, task: str, read: Callable[[str], R]) -> R | None:
    """A result that is there; one that cannot be is done again, and a warning tells so."""
    part = run.read(task)
    if part is None:
        return None
    with suppress(ValueError, TypeError, KeyError, RecursionError):
        return read(part.text)
    run.say_damaged(task, "it is no result")
    return None


def _results(
    prepare: Callable[[], Work], tasks: Sequence[str], parts: Parts | None, jobs: Jobs
) -> Iterator[tuple[str, str]]:
    if not tasks:
        return
    if jobs.n_jobs == 1:
        yield from _worked(prepare, tasks, parts)
        return
    returned = "generator_unordered" if jobs.backend in STREAMING else "list"
    try:
        with parallel_config(backend=jobs.backend):
            workers = effective_n_jobs(jobs.n_jobs)  # of this backend: a cluster has more than this machine
        parallel = Parallel(n_jobs=jobs.n_jobs, backend=jobs.backend, return_as=returned)
    except ValueError as error:
        raise SettingError("backend", f"is {jobs.backend!r}: {error}", remedy='use "loky", or register it') from error
    count = min(len(tasks), CHUNKS * workers)
    chunks = (tasks[at::count] for at in range(count))
    for found in parallel(delayed(_all_worked)(prepare, chunk, parts) for chunk in chunks):
        yield from found


def _all_worked(prepare: Callable[[], Work], tasks: Sequence[str], parts: Parts | None) -> list[tuple[str, str]]:
    return list(_worked(prepare, tasks, parts))


def _worked(prepare: Callable[[], Work], tasks: Sequence[str], parts: Parts | None) -> Iterator[tuple[str, str]]:
    work = prepare()
    for task in tasks:
        text = work(task)
        if parts is not None:
            parts.write(task, Part(text=text))
        yield task, text
