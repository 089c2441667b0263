"""The sweep: effects by hand, the reference once, and results that stay in files."""

import json
import math

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.errors import DataError, FileError
from microjoule.execution.tasks import Jobs
from microjoule.jobs.part import Part
from microjoule.jobs.run_folder import Parts
from microjoule.numerics.affine import fake_quantize
from microjoule.numerics.ranges import min_max, percentile
from microjoule.quantization import sensitivity
from microjoule.quantization.alone import at_width, sites
from microjoule.quantization.sensitivity import effect, output_tensors, reference, sweep

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


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_two_processes_find_what_one_does(backend):
    made = network()
    mj.freeze(made)
    exact = reference(made, BATCHES, mj.zoo.metric("top1"))
    alone = sweep(made, grids(made, 3, 8), exact, Jobs())
    together = sweep(made, grids(made, 3, 8), exact, Jobs(n_jobs=2, backend=backend))
    assert list(alone) == list(together) == list(grids(made, 3, 8))
    for task, found in alone.items():
        assert together[task].value == found.value
        assert together[task].sqnr_db == pytest.approx(found.sqnr_db, abs=1e-3)
        assert together[task].kl == pytest.approx(found.kl, rel=1e-3, abs=1e-9)


def test_results_are_read_from_their_files(tmp_path, monkeypatch):
    made = network()
    exact = reference(made, BATCHES, mj.zoo.metric("top1"))
    first = sweep(made, grids(made, 3), exact, Jobs(), folder=tmp_path)
    monkeypatch.setattr(sensitivity, "effect", lambda *_: pytest.fail("measured again"))
    assert sweep(made, grids(made, 3), exact, Jobs(), folder=tmp_path) == first


@pytest.mark.parametrize(
    "content", ["", "[]", '{"value": 1.0}', '{"value": "a", "sqnr_db": 1.0, "kl": 1.0}', '{"sqnr_db": null, "a": 1}']
)
def test_a_file_that_is_no_result_is_found_again(content, tmp_path):
    made = network()
    exact = reference(made, BATCHES, None)
    first = sweep(made, grids(made, 3), exact, Jobs(), folder=tmp_path)
    digest = json.loads((tmp_path / "run.json").read_text())["digest"]
    Parts(tmp_path, digest).write("weight 0 3", Part(text=content))
    with pytest.warns(UserWarning, match="weight 0 3 is done again"):
        assert sweep(made, grids(made, 3), exact, Jobs(), folder=tmp_path) == first


@pytest.mark.parametrize("part", ["the network", "data", "labels of data", "metric", "weight_rule"])
def test_what_the_results_depend_on_is_what_a_folder_belongs_to(part, tmp_path):
    made = network()
    exact = reference(made, BATCHES, mj.zoo.metric("top1"))
    sweep(made, grids(made, 3), exact, Jobs(), folder=tmp_path, options={"weight_rule": min_max})
    batches, metric = BATCHES, mj.zoo.metric("top1")
    if part == "the network":
        with torch.no_grad():
            made.layers[0].stored_weight[0, 0] += 1e-3
    if part == "data":
        batches = [BATCHES[0], ((X[10:] + 1e-6,), Y[10:])]
    if part == "labels of data":
        batches = [BATCHES[0], ((X[10:],), 3 - Y[10:])]
    other = reference(made, batches, None if part == "metric" else metric)
    rule = percentile(99) if part == "weight_rule" else min_max
    with pytest.raises(FileError, match=f"another run, which differs in {part}"):
        sweep(made, grids(made, 3), other, Jobs(), folder=tmp_path, options={"weight_rule": rule})
