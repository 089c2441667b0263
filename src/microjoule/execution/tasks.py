"""Independent tasks, in processes or on a cluster; results are files in one folder, so that a run goes on where it
stopped.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from joblib import Parallel, delayed, effective_n_jobs, parallel_config
from torch import Tensor
from torch.utils import _pytree as pytree

from microjoule.errors import FileError, SettingError
from microjoule.execution.progress import track
from microjoule.records.files import write_atomically

Work = Callable[[str], str]
"""The name of a task -> its result as text."""

IDENTITY = "run.json"
"""The file that says whose results a folder holds."""

CHUNKS = 4
"""Chunks of tasks for each process: few, as each prepares the work anew; several, so that all end at the same time."""

STREAMING = ("loky", "threading")
"""The backends of joblib that hand over each chunk when it is done."""


@dataclass(frozen=True, slots=True)
class Jobs:
    """How independent tasks are run.

    Args:
        folder: where each result is kept as a file; None keeps none.
        n_jobs: how many run at once, in joblib's way of counting: -1 is one a core. 1 runs them in this process.
        backend: joblib's: "loky" (processes), "threading", or one that was registered with joblib, as Ray's "ray" is.

    Raises:
        SettingError: for 0 jobs.
    """

    folder: str | Path | None = None
    n_jobs: int = 1
    backend: str = "loky"

    def __post_init__(self) -> None:
        if self.n_jobs == 0:
            raise SettingError("n_jobs", "is 0", remedy="give 1 for this process alone, or -1 for one a core")


def run_tasks(
    prepare: Callable[[], Work], tasks: Sequence[str], jobs: Jobs, *, identity: Mapping[str, str], label: str
) -> dict[str, str]:
    """Run tasks, but for those whose results the folder holds already.

    Args:
        prepare: makes what runs a task, once for each chunk of tasks; it is pickled where the backend needs that.
        tasks: their names, each different.
        jobs: how they are run.
        identity: what the results depend on; a folder belongs to one identity.
        label: what is being done, for the progress bar.

    Returns:
        Task -> result, in the order of `tasks`.

    Raises:
        FileError: if the folder holds the results of another run, or cannot be written.
        SettingError: for a backend that joblib does not know.
    """
    folder = None if jobs.folder is None else _opened(Path(jobs.folder), identity)
    done = {} if folder is None else {task: text for task in tasks if (text := _kept(folder, task)) is not None}
    missing = [task for task in tasks if task not in done]
    for task, text in track(_results(prepare, missing, folder, jobs), label, total=len(tasks), done=len(done)):
        done[task] = text
    return {task: done[task] for task in tasks}


def _results(
    prepare: Callable[[], Work], tasks: Sequence[str], folder: Path | None, jobs: Jobs
) -> Iterator[tuple[str, str]]:
    if not tasks:
        return
    if jobs.n_jobs == 1:
        yield from _worked(prepare, tasks, folder)
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
    for found in parallel(delayed(_all_worked)(prepare, chunk, folder) for chunk in chunks):
        yield from found


def _all_worked(prepare: Callable[[], Work], tasks: Sequence[str], folder: Path | None) -> list[tuple[str, str]]:
    return list(_worked(prepare, tasks, folder))


def _worked(prepare: Callable[[], Work], tasks: Sequence[str], folder: Path | None) -> Iterator[tuple[str, str]]:
    work = prepare()
    for task in tasks:
        text = work(task)
        if folder is not None:
            write_atomically(_path(folder, task), text)
        yield task, text


# Files -----------------------------------------------------------------------


def _path(folder: Path, task: str) -> Path:
    """A task's file: its name as far as a file can have it, and a hash, as two names may look the same then."""
    readable = re.sub(r"[^\w.-]+", "_", task)[:80]
    return folder / f"{readable}-{hashlib.sha256(task.encode()).hexdigest()[:8]}.json"


def _kept(folder: Path, task: str) -> str | None:
    path = _path(folder, task)
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _opened(folder: Path, identity: Mapping[str, str]) -> Path:
    """The folder, made if it is not there, if it is this run's."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(str(folder), f"cannot be made a folder: {error.strerror}", remedy="choose another") from error
    path = folder / IDENTITY
    if not path.is_file():
        write_atomically(path, json.dumps(dict(identity), indent=1))
        return folder
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        differing = [name for name in sorted({*held, *identity}) if held.get(name) != identity.get(name)]
    except (ValueError, TypeError, AttributeError) as error:
        raise FileError(str(path), "does not say which run this is", remedy="choose an empty folder") from error
    if differing:
        raise FileError(
            str(folder),
            f"holds the results of another run: its {', '.join(differing)} differs",
            remedy="choose another folder, or remove this one",
        )
    return folder


def digest(value: Any) -> str:
    """Sixteen hexadecimal digits that tell tensors, numbers and texts, and nests of them, from others.

    Args:
        value: what to tell from others; leaves of other kinds do not count.
    """
    seen = hashlib.sha256()
    for leaf in pytree.tree_leaves(value):
        if isinstance(leaf, Tensor):
            seen.update(f"{leaf.dtype} {tuple(leaf.shape)}".encode())
            seen.update(leaf.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        elif isinstance(leaf, str | int | float):
            seen.update(repr(leaf).encode())
    return seen.hexdigest()[:16]
