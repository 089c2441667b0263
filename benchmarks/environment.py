"""Other tools for a benchmark: an environment of their own, and a module of the benchmarks that runs in it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from microjoule.errors import FileError

ROOT = Path(__file__).parent.parent


def environment(
    folder: Path, tools: Sequence[str], needs: Sequence[str], *, constraints: str | None = "constraints.txt"
) -> Path:
    """A virtual environment with microjoule and other tools.

    Args:
        folder: where to make it.
        tools: packages that are installed without what they need, the one that it is made for first.
        needs: packages that are installed with what they need.
        constraints: the file of versions that all keep to; None for the newest that fit each other.

    Returns:
        Its Python.

    Raises:
        FileError: if it cannot be made.
    """
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pip += [] if constraints is None else ["-c", constraints]
    commands = [[sys.executable, "-m", "venv", str(folder)], [*pip, "."]]
    commands += [[*pip, "--no-deps", *tools]] if tools else []
    for command in (*commands, [*pip, *needs]):
        error = _error(command)
        if error is not None:
            fact = f"{(*tools, *needs)[0]} cannot be installed: {error}"
            raise FileError(str(folder), fact, remedy="look at the package index")
    return python


def run_module(
    python: Path,
    module: str,
    words: Sequence[str],
    result: Path,
    *,
    place: str,
    variables: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What a module writes that runs in a process of its own.

    Args:
        python: that runs it.
        module: its name.
        words: that it is given.
        result: the JSON file that it writes.
        place: what runs, for an error.
        variables: of its environment, beside those that are set.

    Raises:
        FileError: if it breaks off.
    """
    error = _error([str(python), "-m", module, *words], variables)
    if error is not None:
        raise FileError(place, f"did not come to its end: {error}", remedy=f"run {module} alone")
    found: dict[str, Any] = json.loads(result.read_text())
    return found


def _error(command: Sequence[str], variables: Mapping[str, str] | None = None) -> str | None:
    """Run a command at the project's root: None, or where it fails the last line that it says."""
    given = {**os.environ, **(variables or {})}
    done = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, check=False)
    return (done.stderr.strip().splitlines() or ["no message"])[-1] if done.returncode else None
