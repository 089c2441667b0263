import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from microjoule.graph.file.layer_extent import layer_on_shapes
from microjoule.graph.file.measured_mode import Measured, on_meta
from microjoule.graph.quantizer import Quantizer
from microjoule.numerics.grid import IntGrid, Scheme


def shapes(module, *args):
    with torch.no_grad():
        return layer_on_shapes(module, on_meta(args), {}, Measured(10**9, 10**12))


def calibrated(scheme, channels=()):
    quantizer = Quantizer(scheme)
    quantizer.set_range(-torch.ones(channels), torch.ones(channels))
    return quantizer


def with_quantized_weight(module):
    parametrize.register_parametrization(module, "weight", calibrated(Scheme(IntGrid(8))))
    return module


SCHEME, BY_CHANNEL = Scheme(IntGrid(8)), Scheme(IntGrid(8), axis=1)
LAYERS = [
    (nn.Conv1d(2, 4, 3), (2, 2, 9)),
    (nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2), (2, 2, 9, 8)),
    (nn.Conv2d(2, 4, 3, padding="same"), (2, 9, 8)),
    (with_quantized_weight(nn.Conv2d(2, 4, (1, 3))), (2, 2, 9, 8)),
    (nn.ConvTranspose2d(2, 4, 3, stride=2), (2, 2, 9, 8)),
    (with_quantized_weight(nn.ConvTranspose2d(2, 4, 3)), (2, 2, 9, 8)),
    (nn.Conv3d(2, 4, 1, bias=False), (2, 2, 3, 3, 3)),
    (nn.Linear(3, 5), (2, 7, 3)),
    (with_quantized_weight(nn.Linear(3, 5)), (3,)),
    (nn.BatchNorm1d(3), (2, 3)),
    (nn.BatchNorm2d(3, affine=False), (2, 3, 4, 4)),
    (nn.LayerNorm((3, 4)), (2, 3, 4)),
    (nn.GroupNorm(2, 4), (2, 4, 5)),
    (nn.Dropout(), (2, 3)),
    (nn.Dropout2d(), (2, 3, 4, 4)),
    (nn.PReLU(3), (2, 3, 4)),
    (calibrated(SCHEME), (2, 3)),
    (calibrated(BY_CHANNEL, (3,)), (2, 3, 4)),
    (calibrated(Scheme(IntGrid(8), axis=1, block=2), (2,)), (2, 3, 4)),
    (Quantizer(SCHEME), (2, 3)),
    (nn.LSTM(3, 4, num_layers=2, bidirectional=True), (7, 2, 3)),
    (nn.LSTM(3, 4, proj_size=2, batch_first=True), (2, 7, 3)),
    (nn.GRU(3, 4), (7, 3)),
    (nn.RNN(3, 4, batch_first=True), (2, 7, 3)),
]


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported", "ignore:Using padding='same'")
@pytest.mark.parametrize(("module", "shape"), LAYERS, ids=repr)
def test_shapes_are_those_of_values(module, shape):
    module.eval()
    with torch.no_grad():
        expected, found = module(torch.rand(shape)), shapes(module, torch.rand(shape))
    for one, other in zip(_tensors(found), _tensors(expected), strict=True):
        assert one.is_meta
        assert (one.shape, one.dtype) == (other.shape, other.dtype)


def _tensors(value):
    return [value] if isinstance(value, torch.Tensor) else [one for part in value for one in _tensors(part)]


def test_numbers_of_words_are_looked_up():
    found = shapes(nn.Embedding(5, 3), torch.zeros(2, 7, dtype=torch.int32))
    assert (found.shape, found.dtype) == ((2, 7, 3), torch.float32)


@pytest.mark.parametrize(
    ("module", "x"),
    [
        (nn.Conv2d(2, 4, 3), torch.rand(2, 3, 9, 8)),
        (nn.Conv2d(2, 4, 3), torch.rand(2, 2, 9)),
        (nn.Conv2d(2, 4, 3), torch.rand(2, 2, 2, 2)),
        (nn.Conv2d(2, 4, 3).half(), torch.rand(2, 2, 9, 8)),
        (nn.Linear(3, 5), torch.rand(2, 4)),
        (nn.BatchNorm2d(3), torch.rand(2, 4, 3, 3)),
        (nn.BatchNorm2d(3), torch.rand(2, 3)),
        (nn.LayerNorm(3), torch.rand(2, 4)),
        (nn.GroupNorm(2, 4), torch.rand(2, 6)),
        (nn.LSTM(3, 4), torch.rand(7, 2, 4)),
        (calibrated(BY_CHANNEL, (3,)), torch.rand(2, 4)),
        (nn.Embedding(5, 3), torch.rand(2)),
    ],
    ids=lambda value: repr(value) if isinstance(value, nn.Module) else f"{value.dtype} {tuple(value.shape)}",
)
def test_what_a_layer_does_not_take_is_refused_as_it_would(module, x):
    with pytest.raises(Exception, match=r".+"):
        module.eval()(x)
    with pytest.raises(Exception, match=r".+"):
        shapes(module.eval(), x)


def test_a_long_sequence_is_no_long_work():
    """As many steps as the sequence has would be called otherwise, each by itself."""
    mode = Measured(10**12, 10**15)
    with torch.no_grad():
        out, _ = layer_on_shapes(nn.LSTM(3, 4), (torch.empty(10**6, 1, 3, device="meta"),), {}, mode)
    assert out.shape == (10**6, 1, 4)
    assert mode.calls < 200
    assert mode.work >= 10**6 * 4 * 4 * (3 + 4)


def test_multiplications_of_a_convolution_by_hand():
    mode = Measured(10**9, 10**9)
    with torch.no_grad():
        layer_on_shapes(nn.Conv2d(2, 4, 3, bias=False), (torch.empty(5, 2, 8, 8, device="meta"),), {}, mode)
    made = 5 * 4 * 6 * 6
    assert mode.work == (2 * 9) * made + 8 * 4 * made
