"""The search, whole: what is taken, the record, resuming after a kill anywhere, and bad input."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Subset

import microjoule as mj
from microjoule.errors import DataError, FileError, GraphError, SettingError
from microjoule.execution import reconstruct
from microjoule.recipes import attempt_bench
from microjoule.recipes.attempts import ATTEMPTS, Attempt
from microjoule.records.decided import Reached
from microjoule.records.json_io import from_json, to_json
from microjoule.records.measured import Evaluated

TEST = mj.zoo.dataset("digits_test", limit=24)
OTHERS = Subset(mj.zoo.dataset("digits_test", limit=48), range(24, 48))
TRAIN = torch.stack([image for image, _ in mj.zoo.dataset("digits_train", limit=24)])
SETTINGS = {"calibration": TRAIN, "confirm": OTHERS, "weights": 3, "target": "per-tensor", "iterations": 20}
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
        self._count(monkeypatch, attempt_bench, "evaluate", self.words)
        self._count(monkeypatch, reconstruct, "write_fitted", lambda run, layer, _: f"{run.path.name} {layer.path}")

    @staticmethod
    def words(_network, data, _metric, *, stage, reference):
        return f"{'confirm' if data.name == 'Subset' else 'score'} {stage}"

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


@pytest.mark.slow
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
    assert mj.evaluate(result, TEST, "top1").value == record.taken.value
    confirmed = mj.evaluate(result, OTHERS, "top1", reference=network.copy(), stage="GPTQ W3A8").compared
    assert (record.confirmed, record.verdict) == (confirmed, "undecided")
    assert record.met == (confirmed.drop <= 1)
    assert same(result, mj.recipes.gptq(network, TRAIN, weights=3, target="per-tensor", input_range=(0.0, 1.0)))
    assert network.history == history
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_the_report_shows_what_was_tried(reach, tmp_path):
    result = reach(attempts=ATTEMPTS[:2], drop=50)
    scores = [(record.stage, record.data) for record in result.history if isinstance(record, Evaluated)]
    assert scores == [(stage, data) for data in ("digits_test", "Subset") for stage in ("fp32", "data-free W3A8")]
    text = mj.report(result, tmp_path / "report.html").read_text(encoding="utf-8")
    assert all(words in text for words in ("Attempts", "data-free", "Searched for the cheapest", "nothing was chosen"))


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_no_score_is_the_worst(reach):
    class Empty(type(mj.zoo.metric("top1"))):
        asked = 0

        def compute(self):
            Empty.asked += 1
            return super().compute() if Empty.asked != 2 else float("nan")

    record = mj.reach(reach.args[0], TEST, Empty(), **SETTINGS, attempts=ATTEMPTS[:2]).history[-1]
    assert record.chosen == "data-free"


STOPS = [
    ("score fp32", False),
    ("naive", False),
    ("score data-free W3A8", True),
    ("AdaRound layer", False),
    ("confirm fp32", False),
    ("confirm the chosen", True),
]
TRIED = (*ATTEMPTS[:2], *(one for one in ATTEMPTS if one.name == "AdaRound"))


@pytest.fixture(scope="module")
def whole(network):
    """Every attempt without a stop: what was called, and the network that was taken."""
    with pytest.MonkeyPatch.context() as patch:
        calls = Calls(patch)
        given = {**SETTINGS, "target": "onnxruntime", "drop": -100, "attempts": calls.attempts()}
        return mj.reach(network, TEST, mj.zoo.metric("top1"), **given), calls.seen


@pytest.mark.slow
@pytest.mark.parametrize(("stop", "before"), STOPS, ids=lambda value: value if isinstance(value, str) else str(value))
def test_killed_anywhere_it_goes_on_and_computes_nothing_twice(whole, reach, tmp_path, monkeypatch, stop, before):
    expected, seen = whole
    calls = Calls(monkeypatch)
    stop = next(told for told in reversed(seen) if told.startswith("confirm")) if stop.endswith("chosen") else stop
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


@pytest.mark.slow
def test_another_drop_goes_on_in_the_same_folder(reach, tmp_path, monkeypatch):
    calls = Calls(monkeypatch)
    attempts, folder = calls.attempts(), tmp_path / "work"
    assert reach(drop=99, attempts=attempts, folder=folder).history[-1].chosen == "naive"
    assert reach(drop=60, attempts=attempts, folder=folder).history[-1].chosen == "data-free"
    assert reach(drop=60, attempts=attempts[1:], folder=folder).history[-1].chosen == "data-free"
    assert [told for told in calls.seen if told in NAMES] == NAMES[:2]


def test_the_inputs_of_the_data_stand_in_for_calibration(network):
    images = torch.stack([image for image, _ in TEST])
    given = {"weights": 4, "attempts": ATTEMPTS[:1], "drop": 100, "confirm": OTHERS}
    result = mj.reach(network, TEST, mj.zoo.metric("top1"), samples=8, **given)
    assert same(result, mj.recipes.naive(network, images[:8], weights=4))


@pytest.mark.slow
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
    with pytest.raises(DataError, match=r"x: has shape \(4, 3, 8, 8\)"):
        mj.reach(network, TEST, metric, calibration=torch.rand(4, 3, 8, 8))
    reach(attempts=ATTEMPTS[:1], drop=100, folder=tmp_path / "work")
    others = ({"weights": 4}, {"calibration": TRAIN + 0.01}, {"target": "onnxruntime"}, {"seed": 1}, {"confirm": None})
    for other in others:
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


# Choose on one part, confirm on another -------------------------------------------------------------------------------


def test_one_half_of_the_data_chooses_and_the_other_confirms(network):
    result = mj.reach(network, TEST, "top1", calibration=TRAIN, attempts=ATTEMPTS[:2], drop=50, weights=3)
    record, scores = result.history[-1], [one for one in result.history if isinstance(one, Evaluated)]
    assert record.samples + record.confirmed.samples == 24
    assert 10 <= record.samples <= 14
    assert [one.data for one in scores] == ["digits_test (part to choose by)"] * 2 + [
        "digits_test (part to confirm on)"
    ] * 2
    assert scores[1].compared == record.taken.compared
    assert scores[3].compared == record.confirmed
    assert scores[0].samples_id != scores[2].samples_id


SEEN = []


def watching(given, inputs, *_):
    SEEN.extend(inputs[0] for inputs, _ in inputs)
    return mj.recipes.naive(given, torch.cat(SEEN))


def test_without_calibration_inputs_none_is_taken_of_what_confirms(network):
    SEEN.clear()
    mj.reach(network, TEST, "top1", attempts=(Attempt("watching", watching),), drop=100)
    images = torch.stack([image for image, _ in TEST])
    assert 10 <= len(torch.cat(SEEN)) <= 14
    assert all(any(torch.equal(one, image) for image in images) for one in torch.cat(SEEN))


def test_a_decision_says_how_sure_it_is():
    """Of 400 samples, 40 of each class, FP32 has all right and the attempt misses some."""
    labels = torch.arange(400) % 10
    linear = mj.capture(nn.Sequential(nn.Linear(10, 10, bias=False)), torch.rand(2, 10))
    with torch.no_grad():
        next(iter(linear.module.parameters())).copy_(torch.eye(10))
    inputs = torch.nn.functional.one_hot(labels, 10).float()
    hard = torch.cat([inputs[:360], 0.02 * inputs[360:]])

    def rounded(given, data, *_):
        return mj.recipes.naive(given, torch.rand(8, 10), activations=4)  # a step of about 1 / 15

    found = partial(mj.reach, linear, (hard, labels), "top1", attempts=(Attempt("rounded", rounded),))
    record = found(drop=30.0).history[-1]
    lost = record.confirmed.lost
    assert lost > 5
    assert (record.verdict, record.met) == ("met", True)
    assert record.samples_to_decide < record.confirmed.samples == 200
    assert (found(drop=0.5).history[-1].verdict, found(drop=0.5).history[-1].met) == ("not met", False)
    near = found(drop=record.confirmed.drop - 0.1).history[-1]
    assert (near.verdict, near.met) == ("undecided", False)
    assert near.samples_to_decide > 10_000
    assert found(drop=record.confirmed.drop + 0.1).history[-1].met


@pytest.mark.slow
def test_a_metric_by_its_name_and_one_of_which_less_is_better(network):
    def errors(outputs, targets):
        return outputs.argmax(1) != targets

    errors.higher_is_better = False
    record = mj.reach(network, TEST, errors, **SETTINGS, attempts=ATTEMPTS[:2], drop=0.5).history[-1]
    assert all(tried.drop == tried.value - record.fp_value >= 0 for tried in record.attempts)
    with pytest.raises(SettingError, match="metric: there is no 'accuracy'"):
        mj.reach(network, TEST, "accuracy", **SETTINGS)


def test_data_that_comes_in_another_order_each_time_is_refused(network):
    loader = DataLoader(TEST, batch_size=8, shuffle=True, generator=torch.Generator().manual_seed(0))
    with pytest.raises(DataError, match=r"naive W3A8 against fp32: they are .*\n.*without shuffle"):
        mj.reach(network, loader, "top1", **SETTINGS)
