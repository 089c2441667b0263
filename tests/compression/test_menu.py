import pytest
import torch
from torch.testing import assert_close

from microjoule.capture.export import capture
from microjoule.compression.cuts import cuts
from microjoule.compression.menu import LEVELS, find_menu
from microjoule.compression.plan import Plan, carry_out
from microjoule.compression.prices import currency
from microjoule.costs.count import costs
from microjoule.execution.batches import batches
from microjoule.graph.channels import channel_groups
from microjoule.graph.patches import weight_rows
from microjoule.numerics.elimination import refitted
from microjoule.numerics.least_squares import trusted
from microjoule.numerics.low_rank import errors
from microjoule.numerics.low_rank_shapes import full_rank
from tests.graph.channel_networks import NETWORKS

MACS = currency("macs")


def made(name, currency=MACS, count=48, **settings):
    build, shape = NETWORKS[name]
    torch.manual_seed(0)
    x = torch.randn(count, *shape, generator=torch.Generator().manual_seed(1))
    network = capture(build().eval(), x[:2])
    return find_menu(network, [x], currency, **settings), x


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in ("attention", "written_attention")])
def test_macs_are_those_that_are_counted_before_and_after(name):
    menu, x = made(name)
    removed = {one: menu.removed(one, removal.group.size // 2) for one, removal in menu.removals.items()}
    plan = Plan({one: units for one, units in removed.items() if units})
    network = menu.network.copy()
    assert menu.cost(Plan()) == costs(network).macs
    carry_out(network, plan, batches([x]))
    assert menu.cost(plan) == costs(network).macs < menu.cost(Plan())


def test_low_rank_forms_cost_what_they_are_counted_at():
    menu, x = made("residual")
    plan = Plan({"a": menu.removed("a", 2)}, {"a": ("spatial", 2), "c": ("input", 2), "head": ("output", 1)})
    network = menu.network.copy()
    carry_out(network, plan, batches([x]))
    assert menu.cost(plan) == costs(network).macs


def test_losses_rise_from_nothing():
    menu, _ = made("residual")
    assert set(menu.removals) == {group.name for group in channel_groups(menu.network).groups}
    for removal in menu.removals.values():
        assert len(removal.order) == removal.group.size - 1
        assert removal.losses[0] == 0
        assert list(removal.losses) == sorted(removal.losses)


def test_forms_that_are_offered_save_something_and_lose_less_with_more_rank():
    menu, _ = made("residual")
    cut = cuts(menu.network, (), {})["c"]
    found = list(menu.forms("c", cut))
    assert {method for (method, _), _ in found} == {"spatial", "output", "input"}
    for method in ("spatial", "output", "input"):
        losses = [lost for (one, _), lost in found if one == method]
        assert losses == sorted(losses, reverse=True)
    assert all(menu.layer_cost("c", cut, how) < menu.layer_cost("c", cut) for how, _ in found)
    full = full_rank(tuple(menu.network.layer("c").stored_weight.shape), "output")
    assert all(rank < full for (method, rank), _ in found if method == "output")


@pytest.mark.slow
def test_the_loss_of_a_form_is_the_relative_error_of_the_output():
    menu, x = made("residual", count=60_000)
    layer = menu.network.layer("head")
    whole, losses = cuts(menu.network, (), {})["head"], {}
    losses = dict(menu.forms("head", whole))
    network = menu.network.copy()
    before = menu.network(x).detach()
    record = carry_out(network, Plan({}, {"head": ("output", 1)}), batches([x]), rows=10**6, ridge=1e-9)
    (fitted,) = [one for one in record.layers if one.layer == "head"]
    made_error = float((network(x).detach() - before).square().sum() / (before - before.mean(0)).square().sum())
    assert_close(made_error, losses["output", 1], rtol=1e-3, atol=1e-6)
    assert_close(fitted.error_after, made_error, rtol=1e-3, atol=1e-6)
    assert layer.out_channels == 3


def test_no_form_is_offered_for_grouped_layers():
    menu, _ = made("depthwise")
    stays = cuts(menu.network, (), {})
    assert [list(menu.forms(layer.path, stays[layer.path])) for layer in menu.network.layers if layer.groups > 1] == [
        [],
        [],
    ]


def test_after_channels_are_gone_forms_are_of_what_is_left():
    menu, _ = made("residual")
    stays = cuts(menu.network, menu.groups, {"a": menu.removed("a", 3)})
    forms = [how for how, _ in menu.forms("b", stays["b"])]
    assert stays["b"].shape(menu.network.layer("b")) == (4, 3, 3, 3)
    assert all(rank < full_rank((4, 3, 3, 3), method) for method, rank in forms)


@pytest.mark.parametrize(("multiple", "left"), [(1, [6, 5, 4, 3, 2, 1]), (2, [6, 4, 2]), (4, [6, 4]), (8, [6])])
def test_widths_are_multiples(multiple, left):
    menu, _ = made("residual", multiple=multiple)
    removal = menu.removals["a"]
    assert [removal.group.size - count for count in menu.widths(removal)] == left


def test_wide_groups_offer_some_widths_only():
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(3, 100), torch.nn.ReLU(), torch.nn.Linear(100, 2)).eval()
    menu = find_menu(capture(module, torch.randn(2, 3)), torch.randn(300, 3), MACS)
    counts = menu.widths(menu.removals["0"])
    assert counts[0] == 0
    assert LEVELS / 2 < len(counts) <= LEVELS + 1
    assert len(set(counts)) == len(counts)


def test_a_layer_that_is_called_twice_works_twice_and_is_stored_once():
    menu, _ = made("shared")
    stored, _ = made("shared", currency("bytes"))
    calls = {path: len(sizes) for path, sizes in menu.sizes.items()}
    (path,) = [path for path, count in calls.items() if count == 2]
    cut = cuts(menu.network, (), {})[path]
    weight = menu.network.layer(path).stored_weight
    assert menu.layer_cost(path, cut) == 2 * weight.numel() * 64
    assert stored.layer_cost(path, cut) == 4 * weight.numel()


def test_ranks_are_multiples():
    network = capture(torch.nn.Sequential(torch.nn.Linear(40, 50), torch.nn.Linear(50, 3)).eval(), torch.rand(2, 40))
    x = torch.rand(100, 40)
    for multiple, expected in ((1, list(range(1, 23))), (8, [8, 16]), (16, [16]), (32, [])):
        menu = find_menu(network, [x], MACS, multiple=multiple, methods=("output",))
        ranks = [rank for (_, rank), _ in menu.forms("0", cuts(network, (), {})["0"])]
        assert ranks == expected  # 90 r of 2000 products


def test_forms_of_what_is_left_lose_what_the_weights_fitted_anew_would():
    menu, _ = made("residual")
    removed = {name: menu.removed(name, 2) for name in menu.removals}
    stays = cuts(menu.network, menu.groups, removed).items()
    path, cut = next((path, cut) for path, cut in stays if not cut.ins.all() and not cut.outs.all())
    layer, known = menu.network.layer(path), menu.known[path]
    stay = torch.zeros(known.second.shape[1], dtype=torch.bool)
    stay[cut.columns(layer)[0]] = True
    second = trusted(known)[0]
    fitted = refitted(weight_rows(layer, layer.stored_weight.detach())[0], second, stay)
    left = fitted[cut.outs].reshape(cut.shape(layer))
    found = dict(menu.forms(path, cut))
    assert found
    for (method, rank), lost in found.items():
        expected = errors(left, method, second[stay][:, stay])[rank] / known.output_variance[0, cut.outs].sum()
        assert lost == pytest.approx(float(expected), rel=1e-9)
