"""Damaged files, used in processes that are forked ready: memory and time have limits, and code that runs is seen.

A process takes one case after another and says how each ended. If it dies, the case that it was at is told by how it
died, and another process goes on with the next one.
"""

import contextlib
import io
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

from microjoule.errors import MicrojouleError
from tests.fuzz.kinds import KINDS

CPU_SECONDS = 20
MEMORY_BYTES = 1 << 30
CASES_A_PROCESS = 200
OUTCOMES = ("accepted", "refused", "traceback", "hang", "memory", "crash", "code")
BAD = OUTCOMES[2:]
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
RUNS = frozenset(
    (
        "os.system",
        "os.exec",
        "os.posix_spawn",
        "os.spawn",
        "os.startfile",
        "subprocess.Popen",
        "pty.spawn",
        "socket.connect",
    )
)
"""What Python tells its auditors of when a program or a connection is started."""


@dataclass
class Counts:
    """How cases ended, and the bad ones."""

    outcomes: Counter[str] = field(default_factory=Counter)
    bad: list[dict[str, Any]] = field(default_factory=list)

    def __str__(self) -> str:
        return ", ".join(f"{self.outcomes[name]:,} {name}" for name in OUTCOMES)


def fuzz(
    kind: str, count: int, *, seed: int, seeds: Path, start: int = 0, keep: Path | None = None
) -> Iterator[Counts]:
    """Use damaged files of a kind; gives the counts so far, now and then.

    Args:
        kind: of `KINDS`.
        count: how many files.
        seed: of the first generator; case i of a seed is always the same file.
        seeds: the folder of sound files.
        start: the case to begin with.
        keep: where to write files that ended badly.
    """
    counts, at = Counts(), start
    _warm_up(kind, seeds)
    while at < start + count:
        for index, outcome, said in _process(kind, seed, range(at, min(at + CASES_A_PROCESS, start + count)), seeds):
            at = index + 1
            counts.outcomes[outcome] += 1
            if outcome in BAD:
                counts.bad.append({"kind": kind, "seed": seed, "case": index, "outcome": outcome, "said": said})
                if keep is not None:
                    name, content = damaged(kind, seed, index, seeds)
                    (keep / f"{kind}-{seed}-{index}-{outcome}{Path(name).suffix}").write_bytes(content)
        yield counts


class _Always(random.Random):
    """Draws that take every branch which is taken now and then."""

    def random(self) -> float:
        return 0.0


def _warm_up(kind: str, seeds: Path) -> None:
    """Use sound files in this process, so that others need not import what this one has, and see which imports are."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-warm-"))
    before = Path.cwd()
    os.chdir(folder)
    try:
        for source in sorted((seeds / kind).iterdir()):
            shutil.copy(source, folder)
            for rng in (_Always(), random.Random(0)):
                quiet = io.StringIO()
                heard = contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet)
                with contextlib.suppress(MicrojouleError), heard[0], heard[1]:
                    KINDS[kind].use(rng, folder / source.name, seeds)
    finally:
        os.chdir(before)
        shutil.rmtree(folder)


def damaged(kind: str, seed: int, index: int, seeds: Path) -> tuple[str, bytes]:
    """The file of a case, and its name."""
    rng = random.Random(f"{kind} {seed} {index}")
    sources = sorted((seeds / kind).iterdir())
    source = rng.choice(sources)
    if source.stem == "evil" and rng.random() < 0.8:  # one that is refused as it is tells little
        source = sources[0]
    return source.name, KINDS[kind].change(rng, source.name, source.read_bytes())


def _process(kind: str, seed: int, cases: range, seeds: Path) -> Iterator[tuple[int, str, str]]:
    """One process; ends when it is done, or dies."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            _work(kind, seed, cases, seeds, writing)
        finally:
            os._exit(0)
    os.close(writing)
    running, done = cases.start, -1
    with os.fdopen(reading) as lines:
        for line in lines:
            said = json.loads(line)
            if "start" in said:
                running = said["start"]
            else:
                done = running
                yield running, said["outcome"], said["said"]
    _, status = os.waitpid(pid, 0)
    if done != running or os.WIFSIGNALED(status):
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        outcome = "hang" if number in (signal.SIGXCPU, signal.SIGALRM) else "crash"
        if done != running:
            yield running, outcome, signal.Signals(number).name if number else "ended"


# In the process -------------------------------------------------------------------------------------------------------


def _work(kind: str, seed: int, cases: range, seeds: Path, writing: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    os.chdir(folder)
    try:
        for index in cases:
            os.write(writing, (json.dumps({"start": index}) + "\n").encode())
            outcome, said = _case(kind, seed, index, seeds, folder)
            os.write(writing, (json.dumps({"outcome": outcome, "said": said}) + "\n").encode())
            if outcome in BAD:
                return
            for left in folder.iterdir():
                shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _case(kind: str, seed: int, index: int, seeds: Path, folder: Path) -> tuple[str, str]:
    name, content = damaged(kind, seed, index, seeds)
    path = folder / name
    path.write_bytes(content)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * PAGE_BYTES
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + CPU_SECONDS + 1, hard))
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, resource.RLIM_INFINITY))
    signal.alarm(30 * CPU_SECONDS)
    CANARY.folder = str(folder)
    outcome, said = "accepted", ""
    try:
        KINDS[kind].use(random.Random(f"use {seed} {index}"), path, seeds)
    except MicrojouleError as error:
        outcome, said = "refused", str(error)
        if _wanted_memory(error):
            outcome = "memory"
    except BaseException as error:  # a traceback is what is looked for
        outcome, said = "memory" if _wanted_memory(error) else "traceback", traceback.format_exc()[-4000:]
    finally:
        CANARY.folder = ""
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    if CANARY.heard or (folder / "touched").exists():
        outcome, said = "code", "; ".join(CANARY.heard) or "a file was made"
    return outcome, said


def _wanted_memory(error: BaseException | None) -> bool:
    """Whether something asked for more memory than there is, whatever became of that."""
    while error is not None:
        words = str(error)
        if (
            isinstance(error, MemoryError)
            or "allocate memory" in words
            or "bad_alloc" in words
            or "bad allocation" in words
        ):
            return True
        error = error.__cause__ or error.__context__
    return False


class _Canary:
    """Hears of programs that are started, files that are written elsewhere, modules that a file may have named."""

    def __init__(self) -> None:
        self.folder = ""
        self.heard: list[str] = []
        self.known = set(sys.stdlib_module_names) - {"this", "antigravity"} | set(packages_distributions())
        self.known |= {name.partition(".")[0] for name in sys.modules}

    def hear(self, event: str, args: tuple[Any, ...]) -> None:
        """What Python tells; while there is no folder, which modules sound files import is learned."""
        if event == "import":
            name = str(args[0]).partition(".")[0]
            if not self.folder:
                self.known.add(name)
            elif name not in self.known:
                self.heard.append(f"import {args[0]}")
        if not self.folder:
            return
        if event in RUNS or event == "pickle.find_class":
            self.heard.append(f"{event} {args!r:.200}")
        elif event == "open" and isinstance(args[0], str) and isinstance(args[2], int):
            writes = args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            if writes and args[0].startswith("/") and not args[0].startswith(("/dev/", tempfile.gettempdir())):
                self.heard.append(f"open {args[0]!r:.200}")
        elif event == "exec" and args[0].co_filename.startswith("<") and "touch" in str(args[0].co_consts):
            self.heard.append(f"exec {args[0]!r:.200}")


CANARY = _Canary()
sys.addaudithook(CANARY.hear)
