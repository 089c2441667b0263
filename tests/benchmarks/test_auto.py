"""What is told of a search, and of one that is killed; the searches themselves run in the benchmark alone."""

import os
import random
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import microjoule as mj
from benchmarks import auto
from benchmarks.auto import killed, search, told
from benchmarks.subjects import Subject
from microjoule.errors import FileError


@pytest.fixture
def given():
    torch.manual_seed(0)
    x = torch.randn(40, 3, 6, 6)
    network = mj.capture(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)).eval(), x[:2])
    return Subject(network, (x, network(x).argmax(1)), mj.zoo.metric("top1"), (float(x.min()), float(x.max())), "toy")


def test_what_is_taken_is_told_with_its_drop_on_other_images_and_its_minutes(given):
    record, run = search(given, given.labelled[0], 1)
    assert (record.chosen, run.seed, run.seconds > 0) == ("naive", 1, True)
    drop, minutes = told(record, "toy auto", 90.0)
    assert (drop.name, drop.value, drop.goal) == ("toy auto, below FP32", record.confirmed.drop, "<= 1.0")
    assert (drop.error, drop.interval) == (record.confirmed.standard_error, record.confirmed.drop_interval)
    assert drop.state == "undecided", "twenty images cannot tell"
    assert record.samples + record.confirmed.samples == 40
    tried = f"chosen on {record.samples} others: naive {record.taken.drop:.2f}; "
    assert drop.compared_with.startswith(tried)
    assert drop.compared_with.endswith(f"lost of {record.confirmed.samples}")
    assert (minutes.value, minutes.goal, minutes.compared_with) == (1.5, "<= 30", "1 attempts")


class Runs:
    """Stands for the command: it writes one layer, unless it is killed before, and may do so again and again."""

    def __init__(self, *, again=False, other=False):
        self.again, self.other, self.kills = again, other, 0

    def process(self, folder):
        return SimpleNamespace(communicate=lambda timeout=None: self.run(folder), kill=lambda: None, returncode=0)

    def run(self, folder):
        (folder / "work").mkdir(parents=True, exist_ok=True)
        path = folder / "work" / "a.safetensors"
        self.kills += 1
        if self.again or not path.exists():
            path.write_text(str(self.kills))
            stamp = self.kills * 10**9
            os.utime(path, ns=(stamp, stamp))
        return "", ""

    def outcome(self, folder):
        return ([[1, 2]], [("naive", 0.5)]) if not self.other or folder.name != "1" else ([[1, 3]], [("naive", 0.5)])


@pytest.mark.parametrize(
    ("runs", "shares"), [(Runs(), (1.0, 1.0)), (Runs(again=True), (1.0, 0.0)), (Runs(other=True), (0.75, 1.0))]
)
def test_kills_are_counted_that_change_the_result_or_repeat_a_step(runs, shares, monkeypatch):
    monkeypatch.setattr(auto, "_process", runs.process)
    monkeypatch.setattr(auto, "_outcome", runs.outcome)
    same, once = killed(random.Random(0), 4)
    assert (same.value, once.value) == shares
    assert (same.state, once.state) == tuple("met" if share == 1 else "missed" for share in shares)
    assert same.compared_with.startswith("4 kills after ")


def test_a_search_that_fails_is_one_clear_error(monkeypatch):
    broken = SimpleNamespace(communicate=lambda: ("", "no such model"), returncode=2)
    monkeypatch.setattr(auto, "_process", lambda folder: broken)
    with pytest.raises(FileError, match="microjoule auto: ended with 2: no such model"):
        next(killed(random.Random(0), 1))


@pytest.mark.slow
def test_a_search_that_is_killed_ends_as_one_that_was_not(monkeypatch):
    few = ("auto", "zoo:digits_mobilenet_v2", "--data", "zoo:digits_test", "--samples", "64", "--target", "per-tensor")
    monkeypatch.setattr(auto, "COMMAND", few)
    assert [figure.value for figure in killed(random.Random(1), 2)] == [1.0, 1.0]
