"""What went wrong, as one message on standard error and an exit code; with --json as a document, too."""

import errno
import json
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import typer

from microjoule.cli import streams
from microjoule.cli.choices import EXIT_CLOSED_PIPE, EXIT_INTERRUPTED, EXIT_OUR_ERROR, EXIT_USER_ERROR
from microjoule.errors import MicrojouleError

VERBOSE = ("-v", "--verbose")
JSON = "--json"

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What an operating system says where no more can be written."""

RESUMING = ("auto",)
"""Commands that keep their work in any case."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What is said of it.

    Args:
        code: the exit code.
        place: as in `MicrojouleError`, with fact and remedy.
    """

    code: int
    place: str
    fact: str
    remedy: str = ""

    def __str__(self) -> str:
        """As people read it."""
        told = f"{self.place}: {self.fact}" if self.place else self.fact
        return f"{told}\n  {self.remedy}" if self.remedy else told


def interrupted(code: object, given: Sequence[str]) -> int:
    """The exit code of a command that came to its end; an interruption is told."""
    if code == EXIT_INTERRUPTED:
        return failed(KeyboardInterrupt(), given)
    return code if isinstance(code, int) else 0


def failed(error: BaseException, given: Sequence[str]) -> int:
    """Say what went wrong.

    Args:
        error: what was raised.
        given: the command line.

    Returns:
        The exit code.
    """
    if isinstance(error, BrokenPipeError | SystemExit) and streams.closed_pipe(error):
        return EXIT_CLOSED_PIPE
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else EXIT_USER_ERROR if error.code else 0
    if any(word in VERBOSE for word in given):
        streams.say("".join(traceback.format_exception(error)).rstrip())
    failure = in_words(error, given)
    for told in (str(failure), *getattr(error, "__notes__", ())):
        streams.say(told)
    if JSON in given:
        found = {"place": failure.place, "fact": failure.fact, "remedy": failure.remedy}
        with suppress(OSError):  # whoever reads standard error knows
            streams.document(json.dumps({"error": found, "exit_code": failure.code}, indent=1))
    return failure.code


def in_words(error: BaseException, given: Sequence[str]) -> Failure:
    """What to say of an error."""
    if isinstance(error, MicrojouleError):
        return Failure(EXIT_USER_ERROR, error.place, error.fact, error.remedy)
    if isinstance(error, KeyboardInterrupt):
        kept = any(word.startswith("--work-folder") or word in RESUMING for word in given)
        goes_on = "; the same command goes on from its work folder" if kept else ""
        return Failure(EXIT_INTERRUPTED, "", f"interrupted{goes_on}")
    if isinstance(error, typer.TyperException):
        return _usage(error)
    fact = f"{type(error).__name__}: {error}"
    ours = Failure(EXIT_OUR_ERROR, "microjoule", fact, "an error of ours: please report it with what -v shows")
    return _machine(error) or ours


def _machine(error: BaseException) -> Failure | None:
    """What the machine does not give: room, memory, a file; None for anything else."""
    if isinstance(error, MemoryError):
        return Failure(EXIT_USER_ERROR, "memory", "there is not enough", "use fewer --samples, or a larger machine")
    if not isinstance(error, OSError):
        return None
    reason, remedy = (error.strerror or str(error)).lower(), "free some space, or set TMPDIR for temporary files"
    if error.errno in FULL:
        place = str(error.filename or f"standard output, or {tempfile.gettempdir()}")
        return Failure(EXIT_USER_ERROR, place, f"cannot be written: {reason}", remedy)
    if error.filename is None:
        return None
    place = str(error.filename)
    return Failure(EXIT_USER_ERROR, place, f"cannot be opened: {reason}", "check the path and its permissions")


def _usage(error: typer.TyperException) -> Failure:
    """A command line that cannot be read, such as one with an option that there is not."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "microjoule"
    fact = error.format_message().replace("Value error, ", "").rstrip(".")
    return Failure(error.exit_code, command, fact[:1].lower() + fact[1:], f"{command} --help shows what there is")
