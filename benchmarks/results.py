"""Results of benchmarks: one JSON file a benchmark, and one page for people made from all of them."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.figure import MET, Figure
from microjoule.errors import FileError
from microjoule.records.files import write_atomically
from microjoule.records.measured import Machine

INTRODUCTION = """# Benchmarks

Every figure here is measured by a command, and this page is written by it:

```sh
python -m benchmarks --list
python -m benchmarks NAME ... --data FOLDER --docs docs/benchmarks.md
```

What follows ± is a standard error. Where two networks are scored on the same samples it is that of their paired
difference, over samples and, where chance enters, over three seeds: see [comparing](techniques/comparing.md). A goal is
*met* or *missed* if that is so two standard errors further on, too, and *undecided* otherwise; bold is what is met.

The networks' images (650 of ImageNet's validation set, 5,000 of CIFAR-10, 500 keywords, 100 to 128 of COCO) are never
fitted to, and nothing is chosen by them here. But some constants in the code were chosen, during development, on these
images or on networks that are scored on them: the ridges of GPTQ, AdaRound's and QDrop's learning rates and
regularization, which ranges are clipped, and the weights of mixed precision's losses. On images that nothing was ever
chosen by, a network may be off by more than these figures say.
"""

HEADER = """| figure | value | goal | is | compared with | seconds |
|---|---:|---:|:---:|---|---:|
"""


EXTRA = ("error", "interval", "evidence")
"""What not every figure has."""


@dataclass(frozen=True, slots=True)
class Timed:
    """A figure, and the seconds that it took."""

    figure: Figure
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """The fields of the line that a benchmark prints; what a figure has not is left out."""
        whole = asdict(self.figure)
        fields = {name: value for name, value in whole.items() if name not in EXTRA or value not in (None, {})}
        return {**fields, "state": self.figure.state, "seconds": round(self.seconds, 2)}

    @classmethod
    def from_dict(cls, entry: dict[str, Any]) -> "Timed":
        """What `to_dict` gave."""
        fields = {name: entry[name] for name in ("name", "value", "unit", "goal", "compared_with")}
        fields |= {name: entry[name] for name in EXTRA if name in entry}
        if "interval" in fields:
            fields["interval"] = tuple(fields["interval"])
        return cls(Figure(**fields), entry["seconds"])


@dataclass(frozen=True, slots=True)
class Results:
    """All figures of one benchmark.

    Args:
        benchmark: its name.
        data: the name of the data folder.
        finished: when, ISO 8601 in UTC.
    """

    benchmark: str
    data: str
    finished: str
    machine: Machine
    figures: tuple[Timed, ...]


def line(timed: Timed) -> str:
    """One figure as one line of JSON."""
    return json.dumps(timed.to_dict(), ensure_ascii=False, allow_nan=False)


def save(results: Results, folder: Path) -> Path:
    """Write results to `folder`/<benchmark>.json; the whole file or nothing."""
    content = {
        "benchmark": results.benchmark,
        "data": results.data,
        "finished": results.finished,
        "machine": asdict(results.machine),
        "figures": [timed.to_dict() for timed in results.figures],
    }
    path = folder / f"{results.benchmark}.json"
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())
    return path


def load(path: Path) -> Results:
    """Read results.

    Raises:
        FileError: if the file does not hold results.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        figures = tuple(Timed.from_dict(entry) for entry in content["figures"])
        machine = Machine(**content["machine"])
        return Results(content["benchmark"], content["data"], content["finished"], machine, figures)
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise FileError(
            str(path),
            f"does not hold the results of a benchmark ({error})",
            remedy="delete it, and run the benchmark again",
        ) from error


def load_all(folder: Path) -> list[Results]:
    """The results of every benchmark in a folder, by name."""
    return [load(path) for path in sorted(folder.glob("*.json"))]


def page(results: Sequence[Results]) -> str:
    """The page of all results, in Markdown."""
    return "\n".join([INTRODUCTION, *(_section(one) for one in results)])


def _section(results: Results) -> str:
    machine = results.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    made = f"{results.finished}, data `{results.data}`, {machine.processor}, {machine.cores} cores, {machine.system}, "
    made += f"Python {machine.python}" + (f", {versions}" if versions else "")
    rows = "".join(_row(timed) for timed in results.figures)
    return f"## {results.benchmark}\n\n{HEADER}{rows}\n{made}.\n"


def _row(timed: Timed) -> str:
    figure = timed.figure
    cells = (
        figure.name,
        f"**{figure.shown}**" if figure.state == MET else figure.shown,
        figure.goal or "",
        figure.state,
        figure.compared_with,
        f"{timed.seconds:.1f}",
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"
