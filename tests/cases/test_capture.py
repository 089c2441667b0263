"""What a captured network takes and computes: batches, names of inputs, precisions, stored and normalized tensors."""

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from tests.cases.interface import Function, Refusal, capture, naive, sqnr_db


def images(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("samples", [1, 3, 4, 16])
def test_a_count_of_windows_mixes_no_samples(samples):
    def run(m, x):
        y = m.linear(x.reshape(-1, 8))
        return y.view(int(y.shape[0] / (x.shape[1] / 1)), -1, 4).mean(1)

    model, x = Function(run, linear=nn.Linear(8, 4)).eval(), images(samples, 6, 8)
    network = capture(model, images(2, 6, 8))
    try:
        found = network(x)
    except Refusal:
        return
    torch.testing.assert_close(found, model(x))


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(8, 4), nn.Linear(8, 4)

    def forward(self, x, y):
        return self.a(x) - 2 * self.b(y)


def test_inputs_by_keyword_stand_in_the_signatures_order():
    model, x, y = Two().eval(), images(4, 8), images(4, 8, seed=1)
    network = capture(model, (), {"y": y, "x": x})
    torch.testing.assert_close(network(x, y), model(x, y))
    torch.testing.assert_close(network(y=y, x=x), model(x, y))


def test_an_item_of_a_stored_tensor_is_its_value():
    model = Function(lambda m, x: m.conv(x) * m.stride[0].item(), conv=nn.Conv2d(3, 4, 3))
    model.register_buffer("stride", torch.tensor([8.0, 16.0]))
    x = images(8, 3, 8, 8)
    assert sqnr_db(model(x), naive(capture(model.eval(), x), x)(x)) > 30


@pytest.mark.parametrize("norm", [weight_norm, spectral_norm])
def test_a_normalized_weight_is_a_plain_layers(norm):
    model = nn.Sequential(norm(nn.Conv1d(8, 16, 3)), nn.ReLU(), nn.Conv1d(16, 8, 3)).eval()
    x = images(8, 8, 20)
    network = capture(model, x)
    assert len(network.layers) == 2
    assert sqnr_db(model(x), naive(network, x)(x)) > 30


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 4)

    def forward(self, x, keep):
        return self.linear(x * keep.to(x.dtype))


def test_values_named_like_methods_of_a_module_are_quantized():
    model, x, keep = Masked().eval(), images(32, 8), images(32, 8, seed=1) > -0.5
    assert sqnr_db(model(x, keep), naive(capture(model, (x, keep)), [(x, keep)])(x, keep)) > 30


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_model_in_any_precision_is_quantized(dtype):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 4)).to(dtype).eval()
    x = images(8, 3, 8, 8).to(dtype)
    quantized = naive(capture(model, x), x)
    assert sqnr_db(model(x).float(), quantized(x).float()) > 25
