"""What is said of what went wrong, and the exit code."""

import errno
import json

import pytest
import typer

from microjoule.cli.failures import failed, in_words, interrupted
from microjoule.errors import FileError


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (FileError("x.mj", "is gone", remedy="look for it"), 2, "x.mj: is gone\n  look for it\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (OSError(errno.ENOSPC, "No space left", "/a/b"), 2, "/a/b: cannot be written: no space left\n"),
        (OSError(errno.EDQUOT, "quota"), 2, "cannot be written: quota\n"),
        (MemoryError(), 2, "memory: there is not enough\n"),
        (typer.BadParameter("no number"), 2, "microjoule: invalid value: no number\n  microjoule --help shows"),
        (KeyError("a"), 3, "microjoule: KeyError: 'a'\n  an error of ours: please report it with what -v shows\n"),
        (OSError(errno.EACCES, "Permission denied", "/a"), 2, "/a: cannot be opened: permission denied\n  check the"),
        (OSError(errno.EACCES, "Permission denied"), 3, "an error of ours"),
        (SystemExit(0), 0, ""),
        (SystemExit(None), 0, ""),
        (SystemExit("text"), 2, ""),
        (SystemExit(7), 7, ""),
        (BrokenPipeError(), 141, ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_one_message_and_a_code(error, code, said, capsys):
    assert failed(error, ["evaluate"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert (err == "") == (said == "")
    assert "Traceback" not in err


def test_the_traceback_is_shown_to_who_asks(capsys):
    with pytest.raises(FileError) as caught:
        raise FileError("x.mj", "is gone", remedy="look for it")
    assert failed(caught.value, ["evaluate", "-v"]) == 2
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert err.endswith("x.mj: is gone\n  look for it\n")


def test_machines_get_a_document(capsys):
    assert failed(FileError("x.mj", "is gone", remedy="look for it"), ["evaluate", "--json"]) == 2
    out, err = capsys.readouterr()
    assert json.loads(out) == {
        "error": {"place": "x.mj", "fact": "is gone", "remedy": "look for it"},
        "exit_code": 2,
    }
    assert err == "x.mj: is gone\n  look for it\n"


@pytest.mark.parametrize(
    ("given", "goes_on"), [(["quantize"], False), (["quantize", "--work-folder=w"], True), (["auto"], True)]
)
def test_an_interruption_says_whether_work_is_kept(given, goes_on):
    assert ("the same command goes on" in str(in_words(KeyboardInterrupt(), given))) == goes_on


def test_a_command_that_ends_has_the_code_that_it_gave(capsys):
    assert (interrupted(None, []), interrupted(0, []), interrupted(1, [])) == (0, 0, 1)
    assert capsys.readouterr().err == ""
    assert interrupted(130, []) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_an_error_of_the_users_is_told_though_a_pipe_broke_on_the_way(capsys):
    error = FileError("x.onnx", "is no ONNX file", remedy="export it again")
    error.__context__ = BrokenPipeError()
    assert failed(error, []) == 2
    assert "x.onnx: is no ONNX file" in capsys.readouterr().err
