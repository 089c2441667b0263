"""The search, whole: what is taken, the record, resuming after a kill anywhere, and bad input."""

from functools import partial

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.errors import DataError, FileError, GraphError, SettingError
from microjoule.execution import reconstruct
from microjoule.recipes import attempt_bench
from microjoule.recipes.attempts import ATTEMPTS, Attempt
from microjoule.records.decided import Reached
from microjoule.records.json_io import from_json, to_json

TEST = mj.zoo.dataset("digits_test", limit=24)
TRAIN = torch.stack([image for image, _ in mj.zoo.dataset("digits_train", limit=24)])
SETTINGS = {"calibration": TRAIN, "weights": 3, "target": "per-tensor", "iterations": 20}
NAMES = [attempt.name for attempt in ATTEMPTS]


@pytest.fixture(scope="module")
def network():
    return mj.capture(mj.zoo.load("digits_mobilenet_v2"), torch.rand(2, 1, 8, 8))


@pytest.fixture
def reach(network):
    return partial(mj.reach, network, TEST, mj.zoo.metric("top1"), **SETTINGS)


def integers(network):
    found = {layer.path: layer.quantizer.integers for layer in network.layers}
    ranges = {
        name: (quantizer.affine.scale, quantizer.affine.zero_point) for name, quantizer in network.quantizers.items()
    }
    return found, ranges


def same(one, other):
    (weights, ranges), (others, other_ranges) = integers(one), integers(other)
    return (weights.keys(), ranges.keys()) == (others.keys(), other_ranges.keys()) and all(
        torch.equal(a, b)
        for a, b in zip(
            [*weights.values(), *(part for pair in ranges.values() for part in pair)],
            [*others.values(), *(part for pair in other_ranges.values() for part in pair)],
            strict=True,
        )
    )


class Calls:
    """Counts calls by name, and interrupts one of them, before or after its work."""

    def __init__(self, monkeypatch):
        self.seen = []
        self.stop = None
        self.before = True
        self._count(monkeypatch, attempt_bench, "evaluate", lambda *_, stage, **__: f"score {stage}")
        self._count(monkeypatch, reconstruct, "write_fitted", lambda run, layer, _: f"{run.path.name} {layer.path}")

    def attempts(self):
        return tuple(Attempt(one.name, Counted(self, one)) for one in TRIED)

    def _count(self, monkeypatch, place, name, words):
        monkeypatch.setattr(place, name, self.counted(getattr(place, name), words))

    def counted(self, function, words):
        def counted(*args, **kwargs):
            told = words(*args, **kwargs)
            if told == self.stop and self.before:
                self.stop = None
                raise KeyboardInterrupt
            result = function(*args, **kwargs)
            self.seen.append(told)
            if told == self.stop:
                self.stop = None
                raise KeyboardInterrupt
            return result

        return counted


class Counted:
    """An attempt that is counted, and is the same attempt."""

    def __init__(self, calls, attempt):
        self.attempt = attempt
        self.make = calls.counted(attempt.make, lambda *_: attempt.name)

    def __call__(self, *args):
        return self.make(*args)

    def run_identity(self):
        return self.attempt.make


def test_the_first_within_the_drop_is_taken(network, reach):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    history = list(network.history)
    result = reach(drop=1.0)
    record = result.history[-1]
    assert isinstance(record, Reached)
    assert [tried.name for tried in record.attempts] == NAMES[:4]
    assert (record.chosen, record.met, record.fp_value, record.samples) == ("GPTQ", True, 100.0, 24)
    assert [tried.drop <= 1 for tried in record.attempts] == [False] * 3 + [True]
    assert all(tried.drop == record.fp_value - tried.value for tried in record.attempts)
    assert {(tried.weights, tried.activations) for tried in record.attempts} == {((3,), (8,))}
    assert record.attempts[0].reason.endswith("points too much")
    assert record.taken.cost == mj.costs(result.copy()).energy_pj < record.fp_cost == mj.costs(network.copy()).energy_pj
    assert from_json(to_json(record)) == record
    assert mj.evaluate(result, TEST, mj.zoo.metric("top1")).value == record.taken.value
    assert same(result, mj.recipes.gptq(network, TRAIN, weights=3, target="per-tensor", input_range=(0.0, 1.0)))
    assert network.history == history
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_the_report_shows_what_was_tried(reach, tmp_path):
    result = reach(attempts=ATTEMPTS[:2], drop=50)
    stages = [record.stage for record in result.history if hasattr(record, "stage") and hasattr(record, "metric")]
    assert stages == ["fp32", "data-free W3A8"]
    text = mj.report(result, tmp_path / "report.html").read_text(encoding="utf-8")
    assert all(words in text for words in ("Attempts", "data-free", "Searched for the cheapest"))


def test_where_none_is_within_the_drop_the_least_is_taken(reach):
    result = reach(drop=-100, attempts=ATTEMPTS[:3])
    record = result.history[-1]
    assert not record.met
    assert record.chosen == min(record.attempts, key=lambda tried: tried.drop).name == "data-free"
    assert record.reason == "none of 3 attempts is within the drop, and data-free drops least"
    assert mj.evaluate(result, TEST, mj.zoo.metric("top1")).value == record.taken.value


def test_of_equal_drops_the_lowest_cost_is_taken(reach, network):
    def made(weights):
        return lambda net, inputs, *_: mj.recipes.naive(net, inputs, weights=weights)

    attempts = tuple(Attempt(f"{weights} bits", made(weights)) for weights in (8, 6, 7))
    record = reach(drop=-1, attempts=attempts, cost="bytes").history[-1]
    assert {tried.drop for tried in record.attempts} == {0.0}
    assert (record.chosen, record.cost_unit) == ("6 bits", "B")


def test_what_the_network_does_not_allow_is_noted_and_passed_over(reach, tmp_path):
    def refused(*_):
        raise GraphError("block 1", "has no norm", remedy="use another")

    attempts = (Attempt("refused", refused), ATTEMPTS[1])
    for _ in range(2):
        record = reach(drop=50, attempts=attempts, folder=tmp_path / "work").history[-1]
        first, second = record.attempts
        assert (first.value, first.drop, first.reason) == (None, None, "cannot be made: block 1 has no norm")
        assert (record.chosen, second.name) == ("data-free", "data-free")
    with pytest.raises(GraphError, match="allows no attempt; refused cannot be made: block 1 has no norm"):
        reach(attempts=attempts[:1])


def test_no_score_is_the_worst(reach):
    class Empty(type(mj.zoo.metric("top1"))):
        asked = 0

        def compute(self):
            Empty.asked += 1
            return super().compute() if Empty.asked != 2 else float("nan")

    record = mj.reach(reach.args[0], TEST, Empty(), **SETTINGS, attempts=ATTEMPTS[:2]).history[-1]
    assert record.chosen == "data-free"


STOPS = [("score fp32", False), ("naive", False), ("score data-free W3A8", True), ("AdaRound layer", False)]
TRIED = (*ATTEMPTS[:2], *(one for one in ATTEMPTS if one.name == "AdaRound"))


@pytest.fixture(scope="module")
def whole(network):
    """Every attempt without a stop: what was called, and the network that was taken."""
    with pytest.MonkeyPatch.context() as patch:
        calls = Calls(patch)
        given = {**SETTINGS, "target": "onnxruntime", "drop": -100, "attempts": calls.attempts()}
        return mj.reach(network, TEST, mj.zoo.metric("top1"), **given), calls.seen


@pytest.mark.parametrize(("stop", "before"), STOPS, ids=lambda value: value if isinstance(value, str) else str(value))
def test_killed_anywhere_it_goes_on_and_computes_nothing_twice(whole, reach, tmp_path, monkeypatch, stop, before):
    expected, seen = whole
    calls = Calls(monkeypatch)
    layers = [told for told in seen if told.startswith(f"{stop.split()[0]}_") and "layers" in told]
    calls.stop, calls.before = layers[len(layers) // 2] if stop.endswith("layer") else stop, before
    attempts, folder = calls.attempts(), tmp_path / "work"
    with pytest.raises(KeyboardInterrupt):
        reach(drop=-100, target="onnxruntime", attempts=attempts, folder=folder)
    assert calls.stop is None
    result = reach(drop=-100, target="onnxruntime", attempts=attempts, folder=folder)
    assert same(result, expected)
    repeated = {told for told in calls.seen if calls.seen.count(told) > 1}
    assert repeated == (set() if before or stop.endswith("layer") else {stop})  # what was killed before it was kept
    assert set(calls.seen) == set(seen)
    done = len(calls.seen)
    again = reach(drop=-100, target="onnxruntime", attempts=attempts, folder=folder)
    assert len(calls.seen) == done
    assert again.history[-1] == result.history[-1]


def test_another_drop_goes_on_in_the_same_folder(reach, tmp_path, monkeypatch):
    calls = Calls(monkeypatch)
    attempts, folder = calls.attempts(), tmp_path / "work"
    assert reach(drop=99, attempts=attempts, folder=folder).history[-1].chosen == "naive"
    assert reach(drop=60, attempts=attempts, folder=folder).history[-1].chosen == "data-free"
    assert reach(drop=60, attempts=attempts[1:], folder=folder).history[-1].chosen == "data-free"
    assert [told for told in calls.seen if told in NAMES] == NAMES[:2]


def test_the_inputs_of_the_data_stand_in_for_calibration(network):
    images = torch.stack([image for image, _ in TEST])
    given = {"weights": 4, "attempts": ATTEMPTS[:1], "drop": 100}
    result = mj.reach(network, TEST, mj.zoo.metric("top1"), samples=8, **given)
    assert same(result, mj.recipes.naive(network, images[:8], weights=4))


def test_bad_input_is_refused(network, reach, tmp_path):
    metric = mj.zoo.metric("top1")
    with pytest.raises(SettingError, match="samples: is -1"):
        reach(samples=-1)
    with pytest.raises(SettingError, match="cost: is 'money'"):
        reach(cost="money")
    with pytest.raises(SettingError, match="drop: is not a number"):
        reach(drop=float("nan"))
    with pytest.raises(SettingError, match="attempts: are called"):
        reach(attempts=())
    with pytest.raises(SettingError, match="attempts: are called"):
        reach(attempts=ATTEMPTS[:1] * 2)
    with pytest.raises(DataError, match="has no targets"):
        mj.reach(network, TRAIN, metric)
    with pytest.raises(GraphError, match="has quantizers already"):
        mj.reach(mj.recipes.naive(network, TRAIN), TEST, metric)
    with pytest.raises(DataError, match="do not go through a network"):
        mj.reach(network, TEST, metric, calibration=torch.rand(4, 3, 8, 8))
    reach(attempts=ATTEMPTS[:1], drop=100, folder=tmp_path / "work")
    for other in ({"weights": 4}, {"calibration": TRAIN + 0.01}, {"target": "onnxruntime"}, {"seed": 1}):
        with pytest.raises(FileError, match="holds the work of another run"):
            mj.reach(network, TEST, metric, **{**SETTINGS, **other}, folder=tmp_path / "work")
    with pytest.raises(FileError, match="cannot be made"):
        reach(folder=tmp_path / "nowhere" / "work")


def test_a_network_without_a_score_is_refused():
    class Nothing(type(mj.zoo.metric("top1"))):
        def compute(self):
            return float("nan")

    linear = mj.capture(nn.Sequential(nn.Linear(4, 3)), torch.rand(2, 4))
    with pytest.raises(DataError, match="gives the network in FP32 a top1 of nan"):
        mj.reach(linear, (torch.rand(4, 4), torch.arange(4) % 3), Nothing())
