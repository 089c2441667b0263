"""One call on a plain module: the same outputs, even ranges, the model left alone."""

import torch
from torch import nn
from torch.testing import assert_close

import microjoule as mj


def model():
    torch.manual_seed(0)
    made = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU6(), nn.Conv2d(8, 8, 3, groups=8), nn.ReLU6(), nn.Conv2d(8, 4, 1)
    )
    with torch.no_grad():
        made[1].weight.copy_(torch.logspace(-2, 1, 8))
    return made.eval()


def uneven(layer):
    ranges = layer.weight.abs().flatten(1).amax(1)
    return (ranges.max() / ranges.min()).item()


def test_the_outputs_are_the_same_and_the_ranges_more_even():
    made, x = model(), torch.randn(2, 3, 9, 9)
    equalized = mj.equalize_model(made, x)
    assert_close(equalized(x), made(x), rtol=1e-5, atol=1e-5)
    folded = mj.capture(made, x)
    mj.fold_batch_norms(folded)
    assert uneven(equalized.get_submodule("0")) < uneven(folded.module.get_submodule("0")) / 3
    assert isinstance(equalized, nn.Module)


def test_the_model_is_left_alone():
    made, x = model(), torch.randn(2, 3, 9, 9)
    before = {name: value.clone() for name, value in made.state_dict().items()}
    mj.equalize_model(made, x)
    assert all(torch.equal(value, before[name]) for name, value in made.state_dict().items())


def test_layers_stay_at_their_paths():
    equalized = mj.equalize_model(model(), torch.randn(2, 3, 9, 9))
    assert isinstance(equalized.get_submodule("3"), nn.Conv2d)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in equalized.modules())
