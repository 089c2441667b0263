"""Standard output and standard error as a program finds them: closed, a pipe that nobody reads, on a full disk.

What cannot be told must not change what was done: a message that standard error does not take is dropped. Results that
standard output does not take are an error, unless whoever reads them has seen enough and went away.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import TextIO

from microjoule.cli.choices import EXIT_CHECK_FAILED, EXIT_CLOSED_PIPE, EXIT_USER_ERROR

_documents: list[TextIO] = []
"""Where documents go while standard output is theirs alone; the last is in force."""


def open_closed() -> None:
    """Put a stream that takes anything in place of one that was closed before the program started (`>&-`).

    Without, the next file that is opened would get its number, and what libraries print would end in that file.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123  as long as the program


@contextmanager
def documents_only(*, wanted: bool) -> Iterator[None]:
    """Keep standard output for documents; whatever else is printed, by the user's code too, goes to standard error.

    Args:
        wanted: False changes nothing.
    """
    if not wanted:
        yield
        return
    _documents.append(sys.stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _documents.pop()


def document(text: str) -> None:
    """Print a document for machines."""
    print(text, file=_documents[-1] if _documents else sys.stdout)


def say(text: str) -> None:
    """A line on standard error; if it does not take it, nobody hears it."""
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


def closed_pipe(error: BaseException | None) -> bool:
    """Whether an error came about because nobody reads the output any more."""
    while error is not None:
        if isinstance(error, BrokenPipeError):
            return True
        error = error.__context__
    return False


def finished(code: int) -> int:
    """The exit code of a program that has printed everything.

    Args:
        code: what it is if all of that is taken; that of an error, which was told, stays.
    """
    with suppress(OSError, ValueError):
        sys.stderr.flush()
    try:
        sys.stdout.flush()
    except OSError as error:
        _discard()
        return _refused(error) if code in (0, EXIT_CHECK_FAILED) else code
    return code


def _refused(error: OSError) -> int:
    """Say that results were not taken, unless nobody wants them; gives the exit code."""
    if isinstance(error, BrokenPipeError):
        return EXIT_CLOSED_PIPE
    reason = (error.strerror or str(error)).lower()
    say(f"standard output: cannot be written: {reason}\n  free some space, or send it elsewhere")
    return EXIT_USER_ERROR


def _discard() -> None:
    """Let what is left of standard output go nowhere, or Python tries again when it ends, and complains."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
