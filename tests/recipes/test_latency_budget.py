"""Budgets in measured latency: what is tried next, kept, refused, and not measured again; by a clock of ours."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.errors import FileError, SettingError
from microjoule.jobs.part import Part
from microjoule.jobs.run_folder import Parts
from microjoule.recipes import compression_trial
from microjoule.recipes.latency_budget import MEASUREMENTS, NEAR, adjusted
from microjoule.records.compressed import Compressed, LatencyModelled
from microjoule.records.facts import Run

X = torch.randn(60, 12, generator=torch.Generator().manual_seed(3))


# The search -----------------------------------------------------------------------------------------------------------


def searched(curve, share, slope=1.0):
    """What is found on a curve of measured shares, and what was tried."""
    tried = []

    def measured(modelled):
        tried.append(modelled)
        return curve(modelled)

    return adjusted(measured, share, slope), tried


def test_where_the_model_is_right_one_measurement_is_enough():
    found, tried = searched(lambda modelled: 0.4 + 0.6 * modelled, 0.7, 0.6)
    assert (len(tried), found.measurements) == (1, 1)
    assert found.measured == pytest.approx(0.7 * (1 - NEAR / 2))
    assert found.modelled == tried[0] == pytest.approx((0.7 * (1 - NEAR / 2) - 0.4) / 0.6)


@pytest.mark.parametrize(
    "curve",
    [
        lambda modelled: modelled**3,
        lambda modelled: modelled**0.4,
        lambda modelled: 0.5 + 0.5 * modelled**2,
        lambda modelled: 1.3 * modelled,
        lambda modelled: min(1.0, 0.45 + modelled),
    ],
    ids=["bent up", "bent down", "half fixed", "slower than it was", "flat above"],
)
def test_the_share_is_kept_and_nearly_used_up_whatever_the_curve(curve):
    found, tried = searched(curve, 0.6)
    assert 0.6 * (1 - NEAR) < found.measured <= 0.6
    assert curve(found.modelled) == found.measured
    assert len(tried) == found.measurements <= MEASUREMENTS


def test_of_steps_the_last_one_that_keeps_it_is_taken():
    found, _ = searched(lambda modelled: 0.9 if modelled > 0.45 else 0.5, 0.6)
    assert found.measured == 0.5
    assert found.modelled <= 0.45
    assert found.measurements == MEASUREMENTS


def test_all_of_it_needs_no_measurement():
    found, tried = searched(lambda modelled: modelled, 1.0)
    assert (found.modelled, found.measured, found.measurements, tried) == (1.0, 1.0, 0, [])


def test_what_is_too_slow_whatever_is_tried_is_refused():
    with pytest.raises(SettingError, match=r"latency: of 60.0% is not kept: the fastest of 6 plans takes 8\d\.\d%"):
        searched(lambda modelled: 0.8 + 0.2 * modelled, 0.6)


def test_where_the_menu_has_nothing_so_cheap_more_is_given_and_the_reason_told():
    def curve(modelled):
        if modelled < 0.5:
            raise SettingError("budget", "is too small", remedy="give more")
        return 0.4 + modelled

    found, tried = searched(curve, 0.95, slope=0.1)
    assert min(tried) < 0.5 <= found.modelled
    assert found.measured <= 0.95
    with pytest.raises(SettingError, match="is too small"):
        searched(curve, 0.85)


# Networks -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def network():
    torch.manual_seed(0)
    layers = (nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 4))
    return mj.capture(nn.Sequential(*layers).eval(), X[:2])


@pytest.fixture
def labelled(network):
    return X, network(X).argmax(1)


def milliseconds(network):
    return 1e-3 * sum(layer.stored_weight.numel() for layer in network.layers) + 0.01 * len(network.layers)


@pytest.fixture
def integers():
    """Of each time that the clock is asked: whether in 8 bits."""
    return []


@pytest.fixture
def times(monkeypatch, integers):
    """A clock of ours in place of the runtime: how many networks it was asked to time."""
    asked = []

    def clock(networks, ranged=None):
        asked.append(len(networks))
        integers.append(ranged is not None)
        return [milliseconds(one) for one in networks]

    monkeypatch.setattr("microjoule.recipes.latency_probes.in_turns", clock)
    return asked


def made(network, labelled, **settings):
    return mj.compress(network, labelled, mj.zoo.metric("top1"), **{"latency": 0.6, "ways": (0.0, 1.0), **settings})


def test_the_budget_is_kept_as_measured_and_the_record_tells_measured_figures(network, labelled, times):
    before = milliseconds(network)
    found = made(network, labelled)
    *_, modelled, record = found.history
    assert isinstance(record, Compressed)
    assert isinstance(modelled, LatencyModelled)
    assert (record.cost, record.cost_unit, record.cost_before) == ("latency", "ms", before)
    assert record.cost_after == pytest.approx(milliseconds(found))
    assert 0.5 * before < record.cost_after <= record.budget == 0.6 * before
    assert all(way.cost <= record.budget for way in record.tried)
    assert (modelled.latency_ms, modelled.networks) == (before, 24)
    assert modelled.relative_error < 0.02
    assert times[:4] == [7] * 4
    assert set(times[4:]) == {2}
    assert all(one.cost_after < one.cost_before for one in record.layers)


@pytest.mark.slow
def test_what_was_measured_is_not_measured_again(network, labelled, times, tmp_path):
    first = made(network, labelled, folder=tmp_path / "run")
    count = len(times)
    again = made(network, labelled, folder=tmp_path / "run")
    assert len(times) == count
    assert first.history[-1] == again.history[-1]
    pairs = zip(first.state_dict().values(), again.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    made(network, labelled, folder=tmp_path / "run", latency=0.8)
    assert set(times[count:]) == {2}


@pytest.mark.slow
def test_a_run_that_ended_between_two_ways_goes_on_there(network, labelled, times, tmp_path, monkeypatch):
    whole = made(network, labelled)
    count = len(times)
    made(network, labelled, folder=tmp_path / "run", ways=(0.0,))
    half = len(times) - count
    result = made(network, labelled, folder=tmp_path / "run")
    assert len(times) == 2 * count
    assert 0 < half < count
    assert result.history[-1] == whole.history[-1]


@pytest.mark.parametrize(
    "text",
    ['["reason"]', '{"modelled": "much", "measured": 1, "measurements": 2}', "no text"],
    ids=["a list", "a word", "no JSON"],
)
def test_what_is_no_result_is_measured_again(network, labelled, times, tmp_path, text):
    first = made(network, labelled, folder=tmp_path / "run")
    digest = json.loads((tmp_path / "run" / "run.json").read_text())["digest"]
    Parts(tmp_path / "run", digest).write("0.6 1.0 timed", Part(text=text))
    with pytest.warns(UserWarning, match=r"is damaged \(it is no result\); 0\.6 1\.0 timed is done again"):
        again = made(network, labelled, folder=tmp_path / "run")
    assert again.history[-1] == first.history[-1]


def test_what_no_way_keeps_is_refused_with_what_was_measured(network, labelled, times, tmp_path):
    for _ in range(2):  # the reason is kept, too
        with pytest.raises(SettingError, match=r"(?s)cannot be kept in any way.*latency: of 0.5% is not kept"):
            made(network, labelled, latency=0.005, folder=tmp_path)


def test_a_folder_of_another_machine_is_refused(network, labelled, times, tmp_path, monkeypatch):
    made(network, labelled, folder=tmp_path / "run")
    here = compression_trial.this_machine()
    monkeypatch.setattr(compression_trial, "this_machine", lambda: replace(here, processor="another"))
    with pytest.raises(FileError, match=r"differs in machine \('another, "):
        made(network, labelled, folder=tmp_path / "run")


def test_a_front_of_latency(network, labelled, times):
    metric, shares = mj.zoo.metric("top1"), (0.8, 0.5)
    record = mj.recipes.compression_front(network, labelled, metric, shares=shares, cost="latency", ways=(0.0, 1.0))
    spent = [point.spent / milliseconds(network) for point in record.points]
    assert (record.cost, record.cost_unit) == ("latency", "ms")
    assert 0.4 < spent[0] <= 0.5 < spent[1] <= 0.8
    assert isinstance(network.history[-2], LatencyModelled)
    with pytest.raises(SettingError, match=r"of 0\.005 of the cost cannot be kept"):
        mj.recipes.compression_front(network, labelled, metric, shares=(0.005,), cost="latency", ways=(0.0,))


@pytest.mark.slow
def test_compress_model_and_quantizing_take_the_budget(network, labelled, times, integers):
    module = mj.compress_model(
        nn.Sequential(nn.Linear(12, 40), nn.ReLU(), nn.Linear(40, 4)),
        X[:2],
        eval_callback=lambda _: 1,
        data=X,
        latency=0.7,
    )
    assert module(X).shape == (60, 4)
    assert sum(one.numel() for one in module.parameters()) < 12 * 40 + 40 + 40 * 4 + 4
    assert not any(integers)
    integers.clear()
    mj.compress_model(module, X[:2], eval_callback=lambda _: 1, data=X, latency=0.9, latency_bits=8)
    assert all(integers)
    integers.clear()
    small = mj.recipes.svd_prune_int8(network, labelled, mj.zoo.metric("top1"), latency=0.7, ways=(1.0,))
    modelled, record = (one for one in small.history if isinstance(one, LatencyModelled | Compressed))
    assert (modelled.clock, record.cost) == ("ONNX Runtime, one thread, 8 bits", "latency")
    assert all(integers)
    assert {layer.out_channels % 8 for layer in small.layers[:-1]} == {0}


@pytest.mark.slow
def test_networks_are_timed_in_8_bits_if_asked_for(network, labelled, times, integers, tmp_path):
    found = made(network, labelled, latency_bits=8, folder=tmp_path / "run")
    assert all(integers)
    assert found.history[-2].clock == "ONNX Runtime, one thread, 8 bits"
    assert next(one for one in found.history if isinstance(one, Run)).settings["latency_bits"] == "8"
    with pytest.raises(FileError, match="differs in latency_bits"):
        made(network, labelled, folder=tmp_path / "run")
    integers.clear()
    front = mj.recipes.compression_front(
        network, labelled, mj.zoo.metric("top1"), shares=(0.8,), cost="latency", latency_bits=8, ways=(1.0,)
    )
    assert all(integers)
    assert len(front.points) == 1


def test_channels_and_forms_share_the_saving_as_the_way_says(network, labelled, times):
    record = made(network, labelled, ways=(0.5,)).history[-1]
    assert 0.7 < record.tried[0].pruned_to < 0.8
