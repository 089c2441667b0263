import math

import pytest
from torch import nn

from microjoule.graph.file.settings import LAYERS, check_settings

MADE = [
    nn.Conv1d(2, 4, 3, padding="same"),
    nn.Conv2d(4, 6, (3, 1), stride=2, padding=(1, 0), dilation=2, groups=2, bias=False),
    nn.Conv3d(1, 2, 1),
    nn.ConvTranspose1d(2, 4, 3),
    nn.ConvTranspose2d(4, 6, 3, stride=2, output_padding=1, groups=2),
    nn.ConvTranspose3d(1, 2, 1, bias=False),
    nn.Linear(3, 2),
    nn.BatchNorm1d(3),
    nn.BatchNorm2d(3, momentum=None, affine=False),
    nn.BatchNorm3d(3, track_running_stats=False),
    nn.LayerNorm((2, 3)),
    nn.LayerNorm(3, bias=False),
    nn.LayerNorm(3, elementwise_affine=False),
    nn.GroupNorm(2, 4),
    nn.GroupNorm(2, 4, affine=False),
    nn.Embedding(5, 2, padding_idx=1),
    nn.Dropout(0.5),
    nn.Dropout2d(),
    nn.PReLU(3),
    nn.GRU(2, 3, num_layers=2, bidirectional=True),
    nn.LSTM(2, 4, num_layers=2, proj_size=3, bias=False),
    nn.LSTM(2, 4, batch_first=True),
    nn.RNN(2, 3, nonlinearity="relu"),
]


def settings_of(module):
    found = {name: getattr(module, name) for name in LAYERS[type(module)].settings}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def shapes_of(module):
    return {name: tuple(t.shape) for name, t in (*module.named_parameters(), *module.named_buffers())}


@pytest.mark.parametrize("module", MADE, ids=repr)
def test_a_layer_is_made_again_of_its_settings(module):
    given = check_settings(LAYERS[type(module)], settings_of(module), shapes_of(module))
    again = type(module)(**given)
    assert repr(again) == repr(module)
    assert shapes_of(again) == shapes_of(module)


@pytest.mark.parametrize("module", MADE, ids=repr)
def test_every_setting_is_checked(module):
    """No setting may be of another type, negative, or absurdly large."""
    layer, sound = LAYERS[type(module)], settings_of(module)
    for name in sound:
        for wrong in ("x", -1, 2**31, [1] * 20, {}, float("nan"), None, [True], 1.5):
            if wrong is None and name in ("momentum", "padding_idx"):
                continue
            if isinstance(wrong, int | float) and name in ("eps", "momentum") and not math.isnan(wrong):
                continue
            with pytest.raises(ValueError, match=f"its {name} is"):
                check_settings(layer, sound | {name: wrong}, shapes_of(module))


@pytest.mark.parametrize("module", [one for one in MADE if shapes_of(one)], ids=repr)
def test_sizes_are_those_of_the_tensors(module):
    layer, sound, stored = LAYERS[type(module)], settings_of(module), shapes_of(module)
    for name in stored:
        with pytest.raises(ValueError, match=rf"its {name} has the shape \(7, 7\), and its settings say"):
            check_settings(layer, sound, stored | {name: (7, 7)})
        if name not in layer.optional:
            with pytest.raises(ValueError, match=f"it lacks the tensor {name}"):
                check_settings(layer, sound, {other: shape for other, shape in stored.items() if other != name})


def test_settings_that_are_missing_or_unknown_are_refused():
    layer, stored = LAYERS[nn.Linear], {"weight": (2, 3)}
    for settings in ({}, {"in_features": 3}, {"in_features": 3, "out_features": 2, "device": "cuda"}, [], None):
        with pytest.raises(ValueError, match=r"its settings are .*, expected in_features, out_features"):
            check_settings(layer, settings, stored)


def test_20000_recurrent_layers_are_not_counted_out():
    settings = settings_of(nn.LSTM(1, 1)) | {"num_layers": 20_000}
    with pytest.raises(ValueError, match="its num_layers is 20000"):
        check_settings(LAYERS[nn.LSTM], settings, {})
    with pytest.raises(ValueError, match="it lacks the tensor weight_ih_l0"):
        check_settings(LAYERS[nn.LSTM], settings | {"num_layers": 1000}, {})


def test_a_bias_is_there_if_it_is_stored():
    layer = LAYERS[nn.Linear]
    settings = {"in_features": 3, "out_features": 2}
    assert check_settings(layer, settings, {"weight": (2, 3)})["bias"] is False
    assert check_settings(layer, settings, {"weight": (2, 3), "bias": (2,), "mine": (9,)})["bias"] is True
