import io
import itertools

import pytest
import torch

from microjoule.execution import progress
from microjoule.execution.progress import Progress, track


class Terminal(io.StringIO):
    """Standard error with someone looking."""

    def isatty(self):
        return True


def look_at(monkeypatch):
    """Make standard error a terminal; pytest puts its own in place of one that a fixture makes."""
    shown = Terminal()
    monkeypatch.setattr("sys.stderr", shown)
    monkeypatch.setenv("TERM", "xterm")
    return shown


@pytest.fixture
def tick(monkeypatch):
    """A clock that goes on by so many seconds each time it is read."""

    def every(seconds):
        times = itertools.count(0, seconds)
        monkeypatch.setattr("microjoule.execution.progress.time.monotonic", lambda: next(times))

    return every


def test_short_work_tells_nothing_where_nobody_looks(capsys):
    assert list(track([1, 2, 3], "count")) == [1, 2, 3]
    assert capsys.readouterr() == ("", "")


def test_long_work_tells_a_line_now_and_then(capsys, tick):
    tick(12)  # begin at 0, items at 12, 24, 36, 48; lines at 10 s and 30 s later
    assert list(track("abcd", "calibrate", total=4)) == list("abcd")
    assert capsys.readouterr() == (
        "",
        "calibrate: 1 of 4, 12 s, about 36 s left\n"
        "calibrate: 4 of 4, 48 s, about 0 s left\n"
        "calibrate: done in 1 min 0 s\n",
    )


def test_a_line_ends_as_lines_do_and_says_what_was_done_last(capsys, tick):
    tick(4000)
    with Progress("reconstruct") as told:
        told.step(label="features.0: error 3.00% → 0.40%")
        told.tell("features.1")
    lines = capsys.readouterr().err
    assert lines == (
        "features.0: error 3.00% → 0.40%: 1, 1 h 6 min\nfeatures.1: 1, 2 h 13 min\nfeatures.1: done in 3 h 20 min\n"
    )


def test_what_was_found_done_takes_no_time(capsys, tick):
    tick(20)
    assert list(track(["c"], "layers", total=4, done=2)) == ["c"]
    assert capsys.readouterr().err.splitlines()[0] == "layers: 3 of 4, 20 s, about 20 s left"


def test_work_that_fails_is_not_done(capsys, tick):
    tick(20)
    told = Progress("fit", total=2)
    told.__enter__()
    told.step()
    told.__exit__(KeyError, KeyError(), None)
    assert capsys.readouterr().err == "fit: 1 of 2, 20 s, about 20 s left\n"


def test_a_log_that_takes_no_more_does_not_stop_the_work(monkeypatch, tick):
    closed = io.StringIO()
    closed.close()
    closed.isatty = lambda: False
    monkeypatch.setattr("sys.stderr", closed)
    tick(100)
    assert list(track([1, 2], "count")) == [1, 2]


@pytest.mark.parametrize("stream", [None, io.StringIO()], ids=["closed", "log"])
def test_colours_that_are_forced_make_no_terminal(monkeypatch, stream):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr("sys.stderr", stream)
    assert not progress.is_watched()
    assert list(track([1], "count")) == [1]


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(monkeypatch):
    look_at(monkeypatch)
    assert progress.is_watched()
    monkeypatch.setenv("TERM", "dumb")
    assert not progress.is_watched()


def test_on_a_terminal_items_pass_and_the_label_is_shown(monkeypatch):
    terminal = look_at(monkeypatch)
    assert list(track([1, 2, 3], "calibrate", total=3)) == [1, 2, 3]
    assert "calibrate" in terminal.getvalue()


def test_what_was_found_done_counts_from_the_start(monkeypatch):
    terminal = look_at(monkeypatch)
    assert list(track(["c"], "layers", total=3, done=2)) == ["c"]
    assert "2/3" in terminal.getvalue()
    assert "3/3" in terminal.getvalue()


def test_what_is_not_counted_shows_no_count(monkeypatch):
    terminal = look_at(monkeypatch)
    with Progress("look [for] it") as bar:
        bar.tell("best 5 [kB]")
    assert "best 5 [kB]" in terminal.getvalue()
    assert "0/" not in terminal.getvalue()


@pytest.mark.parametrize(
    ("item", "size"),
    [(7, 1), (torch.zeros(5, 2), 5), (((torch.zeros(4, 2),), torch.zeros(4)), 4), (torch.tensor(1.0), 1), ("ab", 1)],
)
def test_an_item_counts_as_its_samples(item, size, monkeypatch):
    advanced = []
    monkeypatch.setattr(progress.Progress, "step", lambda self, by: advanced.append(by))
    assert len(list(track([item], "count"))) == 1
    assert advanced == [size]


def test_a_bar_tells_what_was_done_last(monkeypatch):
    terminal = look_at(monkeypatch)
    with Progress("reconstruct", total=2) as bar:
        bar.step(label="features.0: error 3.00% → 0.40%")
    assert "features.0: error 3.00% → 0.40%" in terminal.getvalue()
    assert "1/2" in terminal.getvalue()
