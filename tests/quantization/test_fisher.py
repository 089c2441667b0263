"""Estimates from gradients: by hand, exact for a linear layer, and near to the divergence for small errors."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import microjoule as mj
from microjoule.errors import GraphError
from microjoule.execution.run import unquantized
from microjoule.numerics.divergence import class_divergence
from microjoule.numerics.ranges import min_max
from microjoule.quantization.alone import alone, at_width, sites
from microjoule.quantization.fisher import drawn_loss, drawn_signs, estimates, half_square
from microjoule.quantization.sensitivity import effect, reference
from tests.quantization.networks import outputs


def generator():
    return torch.Generator().manual_seed(5)


def quantized(module, x, **settings):
    made = mj.capture(module.eval(), x[:2])
    mj.quantize(made, **settings)
    mj.calibrate(made, x)
    return made


def grids(network, *bits):
    return {
        f"{site.name} {site.kind} {width}": (site, at_width(site, width, min_max))
        for site in sites(network)
        for width in bits
    }


def test_half_the_square_of_an_inner_product_by_hand():
    gradients = [torch.tensor([1.0, 2.0]), torch.tensor([[3.0]])]
    errors = [torch.tensor([4.0, -1.0]), torch.tensor([[2.0]])]
    assert half_square(gradients, errors) == 0.5 * (4 - 2 + 6) ** 2
    assert half_square([], []) == 0


def test_over_all_classes_it_is_the_divergence_to_second_order():
    logits, error = torch.randn(2, 6, dtype=torch.float64, generator=generator())
    p, error = logits.softmax(0), 1e-4 * error
    gradients = [p - torch.eye(6, dtype=torch.float64)[y] for y in range(6)]
    expected = sum(p[y].item() * half_square([gradients[y]], [error]) for y in range(6))
    assert class_divergence(logits[None], (logits + error)[None]).item() == pytest.approx(expected, rel=1e-3)


def test_classes_are_drawn_by_their_own_probabilities():
    scores = torch.tensor([[3.0, 1.0]]).log().expand(4000, 2).clone().requires_grad_()
    (gradient,) = torch.autograd.grad(drawn_loss(scores, normalized=False, generator=generator()), scores)
    drawn = gradient[:, 0] < 0  # p - 1 where the class was drawn, p where it was not
    assert drawn.float().mean().item() == pytest.approx(0.75, abs=0.03)
    assert_close(gradient[drawn][0], torch.tensor([-0.25, 0.25]))
    assert_close(gradient.mean(0), torch.zeros(2), atol=0.03, rtol=0)


def test_signs_are_one_or_minus_one_and_even():
    output = torch.zeros(10_000, requires_grad=True)
    (gradient,) = torch.autograd.grad(drawn_signs(output, generator()), output)
    assert gradient.abs().eq(1).all()
    assert gradient.mean().item() == pytest.approx(0, abs=0.05)


def test_for_a_linear_layer_and_squared_error_the_estimate_is_exact():
    torch.manual_seed(1)
    x = torch.randn(20, 5)
    network = quantized(nn.Sequential(nn.Linear(5, 1)), x)
    exact = reference(network, [((x,), None)], None)
    found = estimates(network, grids(network, 2, 4, 8), exact)
    with unquantized(network):
        wanted = outputs(network, x)
    for name, grid in grids(network, 2, 4, 8).items():
        with alone(network, *grid):
            by_hand = (outputs(network, x) - wanted).double().square().mean().item() / 2
        assert found[name] == pytest.approx(by_hand, rel=1e-3)
        assert by_hand > 0


def test_with_several_outputs_it_is_exact_on_average():
    torch.manual_seed(2)
    x = torch.randn(600, 1, 6)
    network = quantized(nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3)), x)
    exact = reference(network, [((x,), None)], None)
    assert not exact.has_classes
    found = estimates(network, grids(network, 6), exact)
    with unquantized(network):
        wanted = outputs(network, x)
    for name, grid in grids(network, 6).items():
        with alone(network, *grid):
            by_hand = (outputs(network, x) - wanted).double().square().sum().item() / 2 / 600
        assert found[name] == pytest.approx(by_hand, rel=0.25)


@pytest.mark.parametrize("last", [nn.Identity(), nn.Softmax(1)], ids=["logits", "probabilities"])
def test_for_classes_it_is_near_the_divergence(last):
    torch.manual_seed(3)
    x = torch.randn(500, 6)
    network = quantized(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4), last), x)
    exact = reference(network, [((x,), None)], None)
    chosen = {name: grid for name, grid in grids(network, 7).items() if "softmax" not in name}
    found = estimates(network, chosen, exact)
    for name, grid in chosen.items():
        assert found[name] == pytest.approx(effect(network, *grid, exact).kl, rel=0.35)


def test_the_seed_decides_the_draws_and_nothing_else_does():
    torch.manual_seed(4)
    x = torch.randn(8, 6)
    network = quantized(nn.Sequential(nn.Linear(6, 4)), x)
    exact = reference(network, [((x[:3],), None), ((x[3:],), None)], None)
    first = estimates(network, grids(network, 4), exact, seed=1)
    torch.rand(3)
    assert estimates(network, grids(network, 4), exact, seed=1) == first
    assert estimates(network, grids(network, 4), exact, seed=2) != first


def test_a_frozen_weight_has_the_error_of_its_integers():
    torch.manual_seed(5)
    x = torch.randn(8, 6)
    network = quantized(nn.Sequential(nn.Linear(6, 1)), x)
    (layer,) = network.layers
    layer.quantizer.hold(torch.zeros_like(layer.stored_weight, dtype=torch.int32))
    exact = reference(network, [((x,), None)], None)
    found = estimates(network, grids(network, 8), exact)["0 weight 8"]
    assert found == pytest.approx((x @ layer.stored_weight.detach().T).square().mean().item() / 2, rel=1e-4)


def test_a_network_of_a_fixed_batch_is_taken_whole_batches_and_agrees_on_average():
    torch.manual_seed(7)
    x = torch.randn(400, 5)
    free = quantized(nn.Sequential(nn.Linear(5, 1)), x)
    fixed = free.copy()
    fixed.dynamic_batch = False
    pairs = [((pair,), None) for pair in x.split(2)]
    wanted = estimates(free, grids(free, 3), reference(free, pairs, None))
    found = estimates(fixed, grids(fixed, 3), reference(fixed, pairs, None))
    assert found != wanted
    assert list(found.values()) == pytest.approx(list(wanted.values()), rel=0.3)


def test_a_layer_that_is_called_twice_and_a_value_nobody_gets_count_once_and_not():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4, bias=False)

        def forward(self, x):
            return self.layer(self.layer(x))[:, :1]

    torch.manual_seed(6)
    x = torch.randn(30, 4)
    network = quantized(Twice(), x)
    exact = reference(network, [((x,), None)], None)
    (name,) = [name for name in grids(network, 8) if "weight" in name]
    found = estimates(network, grids(network, 8), exact)[name]
    with unquantized(network):
        wanted = outputs(network, x)
    with alone(network, *grids(network, 8)[name]):
        by_hand = (outputs(network, x) - wanted).square().mean().item() / 2
    assert found == pytest.approx(by_hand, rel=0.1)


def test_the_network_is_as_before_afterwards():
    x = torch.randn(4, 6)
    network = quantized(nn.Sequential(nn.Linear(6, 4)), x)
    network.layers[0].stored_weight.requires_grad_(requires_grad=False)
    estimates(network, grids(network, 4), reference(network, [((x,), None)], None))
    assert not network.layers[0].stored_weight.requires_grad
    assert not any(q._forward_hooks for q in network.quantizers.values())
    assert all(q.enabled for q in network.quantizers.values())


def test_an_output_without_a_gradient_is_refused():
    class Rounded(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            return self.layer(x).argmax(1).float()

    x = torch.randn(4, 4)
    network = quantized(Rounded(), x)
    with pytest.raises(GraphError, match="no output from which a gradient goes back"):
        estimates(network, grids(network, 4), reference(network, [((x,), None)], None))
