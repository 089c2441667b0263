"""Standard streams that are closed, full, or read by nobody: quiet, with an exit code that means what it says."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from microjoule.cli import streams

COMMAND = [sys.executable, "-m", "microjoule"]


def run(words, **streams_given):
    """A process with streams of its own; gives its exit code and what it said on standard error."""
    given = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, **streams_given}
    done = subprocess.run([*COMMAND, *words], text=True, check=False, **given)
    return done.returncode, done.stderr


def closed_pipe():
    """The end for writing of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["quantize", "--help"]], ids=" ".join)
def test_a_pipe_that_nobody_reads_ends_the_program_quietly_as_sigpipe_would(words):
    writing = closed_pipe()
    code, said = run(words, stdout=writing)
    os.close(writing)
    assert (code, said) == (141, "")


@pytest.mark.parametrize("size", [10, 10**6], ids=["kept back until the end", "more than the buffer holds"])
@pytest.mark.parametrize("code", [0, 1])
def test_what_is_printed_into_such_a_pipe_has_no_other_exit_code(size, code):
    script = "import sys\nfrom microjoule.cli import app, streams\nfrom microjoule.cli.failures import failed\n"
    script += f"code = {code}\ntry: print('x' * {size})\nexcept BaseException as error: code = failed(error, [])\n"
    writing = closed_pipe()
    done = subprocess.run(
        [sys.executable, "-c", script + "sys.exit(streams.finished(code))"],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("words", [["--version"], ["quantize", "--help"]], ids=" ".join)
def test_a_full_disk_is_named_and_is_no_failed_check(words):
    with Path("/dev/full").open("w") as full:
        code, said = run(words, stdout=full)
    assert (code, said.startswith("standard output")) == (2, True)
    assert ": cannot be written: no space left on device\n  free some space" in said
    assert said.count("\n") == 2


@pytest.mark.parametrize("stdout", ["full", "unread"])
def test_a_document_on_an_error_that_is_not_taken_is_no_second_error(stdout):
    given = os.open("/dev/full", os.O_WRONLY) if stdout == "full" else closed_pipe()
    code, said = run(["nonsense", "--json"], stdout=given)
    os.close(given)
    assert code == 2
    assert said == "microjoule: no such command 'nonsense'\n  microjoule --help shows what there is\n"


@pytest.mark.parametrize(("number", "expected"), [(0, 0), (1, 0), (2, 0)], ids=["stdin", "stdout", "stderr"])
def test_a_stream_that_was_closed_before_changes_nothing(number, expected):
    code, said = run(["--version"], preexec_fn=lambda: os.close(number), stdin=subprocess.DEVNULL)
    assert (code, said) == (expected, "")


def test_a_closed_standard_output_is_not_the_next_file_that_is_opened(tmp_path):
    path = tmp_path / "file"
    script = "import os, sys\nfrom microjoule.cli import streams\nstreams.open_closed()\n"
    script += f"with open({str(path)!r}, 'w') as file: print('a result'); sys.stdout.flush(); os.write(1, b'of C')\n"
    code = subprocess.run([sys.executable, "-c", script], preexec_fn=lambda: os.close(1), check=False).returncode
    assert (code, path.read_text()) == (0, "")


@pytest.mark.parametrize("way", ["closed", "full", "unread"])
def test_an_error_that_nobody_can_be_told_keeps_its_exit_code(way):
    words, given = ["inspect", "nowhere.pt2", "--shape"], {}
    if way == "closed":
        given = {"preexec_fn": lambda: os.close(2)}
    elif way == "full":
        given = {"stderr": os.open("/dev/full", os.O_WRONLY)}
    else:
        given = {"stderr": closed_pipe()}
    assert run(words, **given)[0] == 2
    if "stderr" in given:
        os.close(given["stderr"])


def test_documents_have_standard_output_for_themselves(capsys):
    with streams.documents_only(wanted=True):
        sys.stdout.write("by the user's code\n")
        streams.document("{}")
    sys.stdout.write("afterwards\n")
    assert capsys.readouterr() == ("{}\nafterwards\n", "by the user's code\n")


def test_without_documents_nothing_changes(capsys):
    with streams.documents_only(wanted=False):
        sys.stdout.write("a table\n")
        streams.document("{}")
    assert capsys.readouterr() == ("a table\n{}\n", "")


def test_an_error_takes_standard_output_back(capsys):
    with pytest.raises(KeyError), streams.documents_only(wanted=True):
        raise KeyError
    streams.document("{}")
    assert capsys.readouterr().out == "{}\n"


def test_a_closed_pipe_is_found_behind_what_it_caused():
    caused = SystemExit(1)
    caused.__context__ = BrokenPipeError()
    assert streams.closed_pipe(caused)
    assert streams.closed_pipe(BrokenPipeError())
    assert not streams.closed_pipe(SystemExit(1))
    assert not streams.closed_pipe(None)


def test_what_cannot_be_said_is_dropped(monkeypatch):
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr("sys.stderr", closed)
    streams.say("nobody hears it")
