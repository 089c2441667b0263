"""Where files go: before long work begins, it is seen whether each can be written, and is what its name says.

A suffix says what is in a file, so a command writes that or refuses. No command writes over what it reads, but with
`--keep`, which is for that.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from microjoule.errors import FileError, SettingError
from microjoule.records.files import check_places
from microjoule.records.suffixes import JSON, KINDS, OTHERS, REASONS


@dataclass(frozen=True, slots=True)
class Output:
    """A file that a command shall write, by the option that names it; it may have several suffixes, the usual first."""

    option: str
    path: Path
    suffixes: tuple[str, ...]


def outputs(*asked: tuple[str, Path | None, str]) -> list[Output]:
    """The files that were asked for.

    Args:
        asked: for each option what it names, if it was given, and the suffixes that it may have, with blanks between.
    """
    return [Output(option, path, tuple(suffixes.split())) for option, path, suffixes in asked if path is not None]


def check_outputs(wanted: Sequence[Output], inputs: Iterable[str | Path | None] = ()) -> None:
    """See whether files can be written, before any work is done.

    Args:
        wanted: what a command shall write.
        inputs: what it reads, as the user named it: paths, `module.py:function`, `zoo:NAME`; None is left out.

    Raises:
        SettingError: for a suffix of something else, a file that is read, or one place for two files.
        FileError: for a missing folder, or one that cannot be written to.
    """
    for output in wanted:
        _check_suffix(output)
    check_places(output.path for output in wanted)
    read = [_path_of(source) for source in inputs if source is not None]
    for index, output in enumerate(wanted):
        _check_writable(output)
        if any(_is_same(output.path, path) for path in read):
            fact = f"is {output.path}, which this command reads"
            raise SettingError(output.option, fact, remedy="choose another name")
        for other in wanted[:index]:
            if _is_same(output.path, other.path):
                fact = f"is {output.path}, as {other.option} is"
                raise SettingError(output.option, fact, remedy="give each file a name of its own")


def base_of(option: str, path: Path, suffixes: Sequence[str]) -> Path:
    """A name without the suffix, for several files that differ in it: "out/digits" of itself and of "out/digits.mj".

    Args:
        option: that names it.
        path: as the user gave it; a dot in a name such as "v1.2" is no suffix.
        suffixes: of the files that there will be.

    Raises:
        SettingError: for the suffix of another kind of file, or no name.
    """
    suffix = path.suffix.lower()
    if not path.name or path.is_dir():
        raise SettingError(option, f"is {path}, which names no file", remedy="add a name to the path")
    if suffix in suffixes:
        return path.with_suffix("")
    if suffix in KINDS or suffix in OTHERS:
        remedy = f"leave the suffix out; files with {', '.join(suffixes)} are written"
        raise SettingError(option, f"is {path}, which ends in {suffix}", remedy=remedy)
    return path


def _check_suffix(output: Output) -> None:
    suffix = output.path.suffix.lower()
    if suffix not in output.suffixes:
        ways = [f"end it in {known} for {KINDS.get(known, KINDS[JSON])}" for known in output.suffixes]
        fact = f"ends in {suffix}" if suffix else "has no suffix that says what it shall be"
        reason = f" ({REASONS[suffix]})" if suffix in REASONS else ""
        raise SettingError(output.option, f"is {output.path}, which {fact}{reason}", remedy="; ".join(ways))


def _check_writable(output: Output) -> None:
    if not os.access(output.path.resolve().parent, os.W_OK):
        raise FileError(str(output.path), "is in a folder that you may not write to", remedy="choose another folder")


def _path_of(source: str | Path) -> Path:
    """The file that a source names: of "net.py:trained" net.py."""
    text = str(source)
    return Path(text.rpartition(":")[0] if ".py:" in text else text)


def _is_same(one: Path, other: Path) -> bool:
    """Whether two paths are of one file, though a link may stand between."""
    if one.exists() and other.exists():
        return one.samefile(other)
    return one.resolve() == other.resolve()
