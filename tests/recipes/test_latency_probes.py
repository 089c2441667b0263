"""Networks that are timed: other shapes that can run, works of each, and real files in turns."""

import json
import random
from types import SimpleNamespace

import onnx
import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.compression.menu import find_menu
from microjoule.compression.plan import Plan, restructure
from microjoule.compression.prices import currency
from microjoule.execution.batches import batches
from microjoule.jobs.identity import Identity
from microjoule.jobs.run_folder import RunFolder
from microjoule.recipes import latency_probes
from microjoule.recipes.latency_probes import (
    PROBES,
    TOGETHER,
    all_works,
    clock_of,
    drawn,
    in_turns,
    probed,
    shares_of,
)
from tests.graph.channel_networks import NETWORKS

X = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def menu():
    build, _ = NETWORKS["residual"]
    torch.manual_seed(0)
    return find_menu(mj.capture(build().eval(), X[:2]), batches(X), currency("macs"))


def by_macs(networks):
    return [1e-3 * mj.costs(one.copy()).macs for one in networks]


@pytest.mark.slow
def test_what_is_drawn_can_run_differs_and_is_the_same_for_the_same_seed(menu):
    generator, again = random.Random(5), random.Random(5)
    plans = [drawn(menu, generator) for _ in range(12)]
    assert plans == [drawn(menu, again) for _ in range(12)]
    assert len({str(plan) for plan in plans}) > 8
    assert any(plan.removed for plan in plans)
    assert any(plan.forms for plan in plans)
    for plan in plans:
        network = menu.network.copy()
        restructure(network, plan)
        assert network(X).shape == menu.network(X).shape
        assert mj.costs(network).macs == sum(work.macs for work in all_works(menu, plan)) == menu.cost(plan)


def test_no_form_is_dearer_than_its_layer(menu):
    generator = random.Random(0)
    for plan in (drawn(menu, generator) for _ in range(20)):
        assert menu.cost(plan) <= menu.cost(Plan(plan.removed))


def test_shares_are_of_the_original_of_the_same_turns(menu):
    generator, slower = random.Random(1), iter((1.0, 3.0))
    plan = drawn(menu, generator)

    def clock(networks):
        load = next(slower)
        return [load * time for time in by_macs(networks)]

    first, second = shares_of(menu.network, [plan], clock), shares_of(menu.network, [plan], clock)
    assert second[0] == pytest.approx(3 * first[0])
    assert second[1] == pytest.approx(first[1])
    assert first[1][0] == pytest.approx(menu.cost(plan) / menu.cost(Plan()))


@pytest.mark.slow
def test_the_model_is_that_of_the_clock_and_what_was_timed_is_kept(menu, tmp_path):
    asked = []

    def clock(networks):
        asked.append(len(networks))
        return by_macs(networks)

    with RunFolder(tmp_path, Identity.of) as kept:
        whole, model = probed(menu, clock, seed=0, kept=kept)
        assert asked == [TOGETHER + 1] * (PROBES // TOGETHER)
        assert whole == pytest.approx(1e-3 * menu.cost(Plan()))
        assert model.relative_error < 0.01
        assert probed(menu, clock, seed=0, kept=kept) == (whole, model)
        assert len(asked) == PROBES // TOGETHER


@pytest.mark.slow
@pytest.mark.parametrize("text", ["[1]", '["a", []]', json.dumps([1, [1]])], ids=["half", "words", "too few"])
def test_what_is_no_result_is_timed_again(menu, tmp_path, text):
    with RunFolder(tmp_path, Identity.of) as kept:
        found = probed(menu, by_macs, seed=0, kept=kept)
        kept.write("probes 6", text=text)
        with pytest.warns(UserWarning, match=r"is damaged \(it is no result\); probes 6 is done again"):
            assert probed(menu, by_macs, seed=0, kept=kept) == found


@pytest.mark.slow
def test_real_files_in_turns(menu, monkeypatch):
    monkeypatch.setattr(latency_probes, "RUNS", 2)
    history = len(menu.network.history)
    times = in_turns([menu.network, menu.network])
    assert len(times) == 2
    assert min(times) > 0
    assert len(menu.network.history) == history


@pytest.mark.slow
def test_what_is_timed_in_8_bits_are_integers(menu, monkeypatch):
    weights = []

    def timed(paths, **_):
        weights.append([{one.data_type for one in onnx.load(path).graph.initializer if one.dims} for path in paths])
        return [SimpleNamespace(latency_low_ms=1.0)] * len(paths)

    monkeypatch.setattr(latency_probes, "measure_together", timed)
    for bits in (32, 8):
        clock_of(menu.network, batches(X), bits)([menu.network])
    plain, integers = weights[0][0], weights[-1][0]
    assert onnx.TensorProto.INT8 in integers
    assert onnx.TensorProto.INT8 not in plain
    assert not menu.network.quantizers


@pytest.mark.parametrize(("fixed", "count"), [(False, 2), (True, 4)], ids=["any batch", "batches of four"])
def test_ranges_come_from_a_few_whole_samples(fixed, count):
    network = mj.capture(nn.Linear(6, 4).eval(), torch.rand(4, 6))
    network.dynamic_batch = not fixed
    ranged = clock_of(network, batches(torch.rand(12, 6), batch_size=4), 8).keywords["ranged"]
    assert [one[0].shape[0] for one, _ in ranged] == [count]


@pytest.mark.slow
def test_rounds_are_taken_at_their_best(menu, monkeypatch):
    class Timed:
        def __init__(self, latency_low_ms):
            self.latency_low_ms = latency_low_ms

    found = iter([(3.0, 1.0), (2.0, 4.0), (5.0, 6.0), (7.0, 8.0)])
    monkeypatch.setattr(latency_probes, "measure_together", lambda *_, **__: [Timed(one) for one in next(found)])
    assert in_turns([menu.network, menu.network]) == [2.0, 1.0]
