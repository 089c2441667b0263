"""The sweep: effects by hand, the reference once, and results that stay in files."""

import math

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.errors import DataError, FileError
from microjoule.execution.tasks import Jobs
from microjoule.numerics.affine import fake_quantize
from microjoule.numerics.ranges import min_max
from microjoule.quantization.alone import at_width, sites
from microjoule.quantization.sensitivity import Effect, effect, network_digest, output_tensors, reference, sweep

X = torch.randn(24, 6, generator=torch.Generator().manual_seed(3))
Y = torch.arange(24) % 4
BATCHES = [((X[:10],), Y[:10]), ((X[10:],), Y[10:])]


def network():
    torch.manual_seed(0)
    made = mj.capture(nn.Sequential(nn.Linear(6, 4)).eval(), X[:2])
    mj.quantize(made)
    mj.calibrate(made, X)
    return made


def grids(made, *bits):
    return {
        f"{site.kind} {site.name} {width}": (site, at_width(site, width, min_max))
        for site in sites(made)
        for width in bits
    }


def test_the_effect_of_a_rounded_input_by_hand():
    made = network()
    site = sites(made)[0]
    exact = reference(made, BATCHES, mj.zoo.metric("top1"))
    found = effect(made, site, at_width(site, 3, min_max), exact)
    layer = made.layers[0]
    wanted, got = (
        nn.functional.linear(x, layer.stored_weight, layer.bias).detach().double()
        for x in (X, fake_quantize(X, at_width(site, 3, min_max)))
    )
    p, q = wanted.log_softmax(1), got.log_softmax(1)
    assert found.kl == pytest.approx((p.exp() * (p - q)).sum(1).mean().item(), rel=1e-3)
    decibel = 10 * math.log10((wanted.square().sum() / (wanted - got).square().sum()).item())
    assert found.sqnr_db == pytest.approx(decibel, abs=1e-3)
    assert found.value == pytest.approx(100 * (got.argmax(1) == Y).float().mean().item())
    assert exact.value == pytest.approx(100 * (wanted.argmax(1) == Y).float().mean().item())
    assert exact.samples == 24


def test_outputs_that_are_no_classes_have_no_divergence_and_a_metric_is_not_needed():
    made = mj.capture(nn.Sequential(nn.Linear(6, 1)).eval(), X[:2])
    mj.quantize(made)
    mj.calibrate(made, X)
    exact = reference(made, [((X,), None)], None)
    found = effect(made, sites(made)[0], at_width(sites(made)[0], 4, min_max), exact)
    assert (found.value, found.kl, exact.value) == (None, None, None)
    assert 10 < found.sqnr_db < 60


def test_outputs_may_be_nested_and_those_that_are_no_numbers_do_not_count():
    x = torch.zeros(2)
    found = output_tensors({"a": (x, x.long()), "b": [x + 1], "c": 3})
    assert [tensor.tolist() for tensor in found] == [[0, 0], [1, 1]]


def test_a_network_without_scores_is_refused():
    class Chosen(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 4)

        def forward(self, x):
            return self.layer(x).argmax(1)

    made = mj.capture(Chosen().eval(), X[:2])
    mj.quantize(made)
    with pytest.raises(DataError, match="gives no floating-point tensor"):
        reference(made, BATCHES, None)


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_two_processes_find_what_one_does(backend):
    made = network()
    mj.freeze(made)
    exact = reference(made, BATCHES, mj.zoo.metric("top1"))
    alone = sweep(made, grids(made, 3, 8), exact, Jobs(), identity={})
    together = sweep(made, grids(made, 3, 8), exact, Jobs(n_jobs=2, backend=backend), identity={})
    assert list(alone) == list(together) == list(grids(made, 3, 8))
    for task, found in alone.items():
        assert together[task].value == found.value
        assert together[task].sqnr_db == pytest.approx(found.sqnr_db, abs=1e-3)
        assert together[task].kl == pytest.approx(found.kl, rel=1e-3, abs=1e-9)


def test_results_are_read_from_their_files(tmp_path):
    made = network()
    exact = reference(made, BATCHES, mj.zoo.metric("top1"))
    first = sweep(made, grids(made, 3), exact, Jobs(folder=tmp_path), identity={})
    for path in tmp_path.glob("weight*.json"):
        path.write_text('{"value": null, "sqnr_db": Infinity, "kl": 0.25}')
    again = sweep(made, grids(made, 3), exact, Jobs(folder=tmp_path), identity={})
    assert {task: again[task] for task in first if task.startswith("activation")} == {
        task: found for task, found in first.items() if task.startswith("activation")
    }
    assert again["weight 0 3"] == Effect(None, math.inf, 0.25)


@pytest.mark.parametrize(
    "content", ["", "[]", '{"value": 1.0}', '{"value": "a", "sqnr_db": 1.0, "kl": 1.0}', '{"sqnr_db": null, "a": 1}']
)
def test_a_file_that_is_no_result_is_named(content, tmp_path):
    made = network()
    exact = reference(made, BATCHES, None)
    sweep(made, grids(made, 3), exact, Jobs(folder=tmp_path), identity={})
    next(tmp_path.glob("weight*.json")).write_text(content)
    with pytest.raises(FileError, match="holds a file for 'weight 0 3' that is no result"):
        sweep(made, grids(made, 3), exact, Jobs(folder=tmp_path), identity={})


@pytest.mark.parametrize("part", ["network", "samples", "targets", "metric", "data"])
def test_what_the_results_depend_on_is_what_a_folder_belongs_to(part, tmp_path):
    made = network()
    exact = reference(made, BATCHES, mj.zoo.metric("top1"))
    sweep(made, grids(made, 3), exact, Jobs(folder=tmp_path), identity={"data": "a"})
    batches, metric = BATCHES, mj.zoo.metric("top1")
    if part == "network":
        with torch.no_grad():
            made.layers[0].stored_weight[0, 0] += 1e-3
    if part == "samples":
        batches = [((X[:10] + 1e-6,), Y[:10]), BATCHES[1]]
    if part == "targets":
        batches = [BATCHES[0], ((X[10:],), 3 - Y[10:])]
    other = reference(made, batches, None if part == "metric" else metric)
    with pytest.raises(FileError, match=f"another run: its {part} differs"):
        sweep(made, grids(made, 3), other, Jobs(folder=tmp_path), identity={"data": "b" if part == "data" else "a"})


def test_a_network_is_told_by_its_numbers_and_grids_and_not_by_its_history(tmp_path):
    made = network()
    before = network_digest(made)
    mj.weight_ranges(made, "before")
    made.save(tmp_path / "network.mj")
    assert network_digest(made) == before == network_digest(made.copy())
    assert network_digest(mj.load(tmp_path / "network.mj")) == before
    made.quantizers["x" if "x" in made.quantizers else next(iter(made.quantizers))].scale.mul_(1.01)
    assert network_digest(made) != before
