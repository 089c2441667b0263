import json
from dataclasses import asdict

import pytest
import torch
from torch.testing import assert_close

from microjoule.errors import SettingError
from microjoule.graph.preprocessing import Preprocessing, preprocessing_of

THREE = Preprocessing((0.5, 0.25, 0.0), (0.5, 0.25, 1.0))


def test_a_pixel_by_hand():
    stored = torch.tensor([255, 51, 0], dtype=torch.uint8).reshape(3, 1, 1)
    assert_close(THREE(stored).flatten(), torch.tensor([1.0, -0.2, 0.0]))


def test_blue_comes_first_where_it_is_said():
    stored = torch.tensor([255, 51, 0], dtype=torch.uint8).reshape(3, 1, 1)
    blue_first = Preprocessing((0.5, 0.25, 0.0), (0.5, 0.25, 1.0), colours="BGR")
    assert_close(blue_first(stored).flatten(), torch.tensor([-1.0, -0.2, 1.0]))


def test_channels_may_come_last():
    stored = torch.arange(24, dtype=torch.uint8).reshape(3, 2, 4)
    last = Preprocessing((0.0,) * 3, (1 / 255,) * 3, layout="NHWC")
    assert_close(last(stored), stored.float().permute(1, 2, 0))


def test_the_range_is_that_of_the_extreme_channels():
    assert THREE.value_range == (-1.0, 3.0)


def test_other_numbers_of_channels_only_where_all_are_the_same():
    same = Preprocessing((0.5,) * 3, (0.25,) * 3, size=(8, 8))
    assert same.for_channels(1) == Preprocessing((0.5,), (0.25,), size=(8, 8), colours="L")
    assert same.for_channels(1).for_channels(3) == same
    assert THREE.for_channels(3) is THREE
    with pytest.raises(SettingError, match="has 3 means, and the network takes 1 channels"):
        THREE.for_channels(1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"mean": ()}, "mean"),
        ({"std": (1.0,)}, "mean"),
        ({"mean": (float("nan"), 0.0, 0.0)}, "mean"),
        ({"std": (1.0, 0.0, 1.0)}, "peak"),
        ({"peak": 0.0}, "peak"),
        ({"size": (0, 8)}, "size"),
        ({"resize": 2**15}, "resize"),
        ({"colours": "CMYK"}, "colours 'CMYK'"),
        ({"layout": "CHWN"}, "layout"),
        ({"interpolation": "sinc"}, "interpolation"),
    ],
)
def test_nonsense_is_refused(wrong, message):
    with pytest.raises(SettingError, match=message):
        Preprocessing(**{"mean": (0.0,) * 3, "std": (1.0,) * 3, **wrong})


def test_it_comes_back_through_json():
    made = Preprocessing((0.5,), (0.25,), 16.0, (8, 9), 10, "bicubic", "L", "NHWC")
    assert preprocessing_of(json.loads(json.dumps(asdict(made)))) == made
    assert preprocessing_of({"mean": [0], "std": [1]}) == Preprocessing((0.0,), (1.0,))


@pytest.mark.parametrize(
    "wrong",
    [
        {"mean": [0]},
        {"mean": ["0"], "std": [1]},
        {"mean": [True], "std": [1]},
        {"mean": [0], "std": [1], "size": [8]},
        {"mean": [0], "std": [1], "size": [8.5, 8]},
        {"mean": [0], "std": [1], "resize": "8"},
        {"mean": [0], "std": [1], "colours": ["L"]},
        {"mean": [0], "std": [1], "code": "x"},
    ],
)
def test_what_is_none_is_not_read(wrong):
    with pytest.raises((ValueError, TypeError, KeyError)):
        preprocessing_of(wrong)
