import io

import pytest
import torch

from microjoule.execution import progress
from microjoule.execution.progress import Progress, track


class Terminal(io.StringIO):
    """Standard error with someone looking."""

    def isatty(self):
        return True


def test_without_a_terminal_nothing_is_printed(capsys):
    assert list(track([1, 2, 3], "count")) == [1, 2, 3]
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_items_pass_and_the_label_is_shown(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    assert list(track([1, 2, 3], "calibrate", total=3)) == [1, 2, 3]
    assert "calibrate" in terminal.getvalue()


def test_what_was_found_done_counts_from_the_start(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    assert list(track(["c"], "layers", total=3, done=2)) == ["c"]
    assert "2/3" in terminal.getvalue()
    assert "3/3" in terminal.getvalue()


@pytest.mark.parametrize(
    ("item", "size"),
    [(7, 1), (torch.zeros(5, 2), 5), (((torch.zeros(4, 2),), torch.zeros(4)), 4), (torch.tensor(1.0), 1), ("ab", 1)],
)
def test_an_item_counts_as_its_samples(item, size, monkeypatch):
    advanced = []
    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setattr(progress.Progress, "step", lambda self, by: advanced.append(by))
    assert len(list(track([item], "count"))) == 1
    assert advanced == [size]


def test_a_bar_tells_what_was_done_last(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with Progress("reconstruct", total=2) as bar:
        bar.step(label="features.0: error 3.00% → 0.40%")
    assert "features.0: error 3.00% → 0.40%" in terminal.getvalue()
    assert "1/2" in terminal.getvalue()
