import pytest
import torch
from torch import nn
from torch.testing import assert_close

from microjoule.capture.export import capture
from microjoule.compression.cuts import cuts
from microjoule.compression.plan import Plan, carry_out, reading, restructure, sized
from microjoule.execution.batches import batches
from microjoule.graph.channels import channel_groups
from microjoule.graph.prune import remove_channels
from microjoule.numerics.least_squares import moments, trusted
from microjoule.numerics.low_rank import approximated
from microjoule.numerics.low_rank_shapes import full_rank
from tests.capture.models import Function, alive
from tests.graph.channel_networks import NETWORKS


def captured(name, samples=64):
    build, shape = NETWORKS[name]
    torch.manual_seed(0)
    module = alive(build())
    x = torch.randn(samples, *shape, generator=torch.Generator().manual_seed(1)).double()
    return capture(module, x[:2].float()).to(torch.float64), batches([x])


def removed(network, count=1):
    groups = channel_groups(network).groups
    return {group.name: tuple(range(min(count, group.size - 1))) for group in groups}


def error(network, original, data):
    (x,) = next(iter(data))[0]
    return float((network(x) - original(x)).detach().square().sum())


@pytest.mark.parametrize("name", NETWORKS)
def test_a_plan_of_nothing_leaves_a_network_as_it_is(name):
    network, data = captured(name, 4)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    record = carry_out(network, Plan(), data)
    assert record.layers == ()
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("name", ["plain", "residual", "dense", "gate", "grouped", "attention", "u_shaped"])
def test_fitting_is_never_worse_than_not_fitting_where_one_layer_reads(name):
    network, data = captured(name)
    groups = [group for group in channel_groups(network).groups if len(group.readers) == 1]
    group = groups[-1]
    plan = Plan({group.name: (0,)})
    plain, fitted = network.copy(), network.copy()
    restructure(plain, plan)
    record = carry_out(fitted, plan, data, rows=10**5, ridge=1e-9)
    (reader,) = [one for one in record.layers if one.layer == group.readers[0]]
    assert reader.error_after <= 1
    assert {one.path: one.stored_weight.shape for one in fitted.layers} == {
        one.path: one.stored_weight.shape for one in plain.layers
    }


def test_a_last_linear_layer_is_fitted_as_well_as_can_be():
    torch.manual_seed(2)
    module = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).eval()
    x = torch.randn(300, 4, generator=torch.Generator().manual_seed(3)).double()
    module.requires_grad_(requires_grad=False)
    network = capture(module, x[:2].float()).to(torch.float64)
    plain, fitted = network.copy(), network.copy()
    remove_channels(plain, {"0": (1, 4)})
    record = carry_out(fitted, Plan({"0": (1, 4)}), batches([x]), rows=10**5, ridge=1e-12)
    features = fitted.module.get_submodule("0")(x).relu()
    centred, wanted = features - features.mean(0), network(x) - network(x).mean(0)
    firm = centred.square().sum(0).mul(4 / 300).sqrt().diag()  # as many inputs as are left for each row
    held = firm @ plain.layer("2").stored_weight.T
    weight = torch.linalg.lstsq(torch.cat([centred, firm]), torch.cat([wanted, held])).solution
    best = centred @ weight + network(x).mean(0)
    assert_close(fitted(x), best, rtol=1e-5, atol=1e-6)
    assert (fitted(x) - network(x)).square().sum() < (plain(x) - network(x)).square().sum()
    (layer,) = record.layers
    variance = (network(x) - network(x).mean(0)).square().sum()
    assert_close(layer.error_after, float((best - network(x)).square().sum() / variance))


def test_later_layers_make_up_for_what_goes_before():
    torch.manual_seed(4)
    module = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    x = torch.randn(400, 6, generator=torch.Generator().manual_seed(5)).double()
    network = capture(module, x[:2].float()).to(torch.float64)
    whole = network.copy()
    record = carry_out(whole, Plan({"0": (0, 3, 5)}), batches([x]), rows=10**5)
    assert [one.layer for one in record.layers] == ["2", "4"]
    after = {one.layer: (one.error_before, one.error_after) for one in record.layers}
    assert after["4"][1] < after["4"][0]


def test_channels_and_forms_together():
    network, data = captured("residual")
    original = network.copy()
    plan = Plan(removed(network), {"a": ("spatial", 4), "c": ("output", 3), "head": ("output", 2)})
    carry_out(network, plan, data, rows=10**5)
    shapes = {layer.path: tuple(layer.stored_weight.shape) for layer in network.layers}
    stays = cuts(original, channel_groups(original).groups, plan.removed)
    outs, ins, *_ = stays["a"].shape(original.layer("a"))
    assert shapes["a.first"] == (4, ins, 3, 1)
    assert shapes["a.second"] == (outs, 4, 1, 3)
    assert shapes["head.first"][0] == 2
    assert error(network, original, data) > 0


def test_full_rank_and_no_channel_gone_reproduce_the_network():
    network, data = captured("residual")
    original = network.copy()
    forms = {path: ("spatial", full_rank(tuple(network.layer(path).stored_weight.shape), "spatial")) for path in "abcd"}
    record = carry_out(network, Plan({}, forms), data, rows=10**5)
    assert all(0 <= one.error_before < 1e-12 for one in record.layers)
    (x,) = next(iter(data))[0]
    assert_close(network(x), original(x), rtol=1e-9, atol=1e-9)
    assert "a.first" in {layer.path for layer in network.layers}


def test_a_run_goes_on_where_it_stopped(tmp_path):
    network, data = captured("residual")
    plan = Plan(removed(network), {"a": ("spatial", 4)})
    first, second = network.copy(), network.copy()
    carry_out(first, plan, data, folder=tmp_path / "run")
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("*.safetensors")}
    carry_out(second, plan, data, folder=tmp_path / "run")
    assert files == {path: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("*.safetensors")}
    assert len(files) > 1
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


def test_moments_of_some_inputs_are_those_of_these_inputs():
    x, y = torch.randn(2, 50, 4).double(), torch.randn(2, 50, 3).double()
    columns = torch.tensor([[0, 2], [1, 3]])
    some = torch.stack([x[group][:, columns[group]] for group in range(2)])
    found, expected = reading(moments(x, y), columns), moments(some, y)
    for name in ("input_mean", "output_mean", "second", "cross", "output_variance"):
        assert_close(getattr(found, name), getattr(expected, name))


def test_a_form_keeps_what_outputs_are_made_of_not_what_weighs_most():
    x = torch.randn(400, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x *= torch.tensor([100.0, 1, 1, 1, 1, 0.01])
    layer = nn.Linear(6, 6, dtype=torch.float64)
    layer.weight.data = torch.diag(torch.tensor([0.01, 1, 1, 1, 1, 5], dtype=torch.float64))
    network = capture(nn.Sequential(layer).eval(), x[:2]).to(torch.float64)
    original = network.copy()
    carry_out(network, Plan({}, {"0": ("output", 5)}), batches([x]), rows=10**5)
    assert error(network, original, batches([x])) < 0.001 * original(x).square().sum().item()


def test_a_form_of_few_rows_trusts_them_less():
    x = torch.randn(5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(2)
    network = capture(nn.Sequential(nn.Linear(6, 4, dtype=torch.float64)).eval(), x[:2]).to(torch.float64)
    weight, known = network.layer("0").stored_weight.detach(), moments(x[None], network(x)[None].detach())
    expected = approximated(weight, "output", 2, trusted(known)[0]).weight
    assert not torch.allclose(expected, approximated(weight, "output", 2, known.second[0]).weight, rtol=1e-3)
    carry_out(network, Plan({}, {"0": ("output", 2)}), batches([x]))
    (first, second) = (layer.stored_weight for layer in network.layers)
    assert_close(second @ first, expected)


def test_a_layer_that_is_used_twice_is_not_fitted():
    torch.manual_seed(0)
    module = Function(lambda m, x: m.c(m.b(m.b(m.a(x)))), a=nn.Linear(6, 6), b=nn.Linear(6, 6), c=nn.Linear(6, 6))
    x = torch.randn(50, 6, generator=torch.Generator().manual_seed(1))
    network = capture(module.eval(), x[:2])
    before = network.layer("b").stored_weight.detach().clone()
    record = carry_out(network, Plan({}, {"a": ("output", 2)}), batches([x]))
    assert [one.layer for one in record.layers] == ["a", "c"]
    assert torch.equal(network.layer("b").stored_weight, before)


@pytest.mark.parametrize(("method", "rank"), [("spatial", 3), ("output", 2), ("input", 2), ("tucker", (2, 3))])
def test_factors_that_are_only_sized_have_the_shapes_of_the_real_ones(method, rank):
    weight = torch.rand(6, 4, 3, 3, dtype=torch.float64)
    made, real = sized(weight, method, rank), approximated(weight, method, rank)
    assert [one.shape for one in made.factors] == [one.shape for one in real.factors]
    assert made.weight.shape == weight.shape
    assert {one.dtype for one in made.factors} == {torch.float64}
