from types import SimpleNamespace

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.capture.describe import described
from microjoule.graph.card import ModelCard
from microjoule.graph.preprocessing import Preprocessing

TIMM = {
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "input_size": (3, 224, 224),
    "crop_pct": 0.875,
    "interpolation": "bicubic",
    "num_classes": 1000,
}
PROCESSOR = {
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.25, 0.25, 0.25],
    "size": {"height": 32, "width": 48},
    "resample": 3,
}


def module(**attributes):
    made = nn.Linear(2, 2)
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def test_a_plain_module_says_nothing():
    assert described(nn.Linear(2, 2)) == ModelCard()


@pytest.mark.parametrize("name", ["pretrained_cfg", "default_cfg"])
def test_timms_configuration_is_read(name):
    card = described(module(**{name: TIMM}))
    assert card.preprocessing == Preprocessing(
        (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), size=(224, 224), resize=256, interpolation="bicubic"
    )
    low, high, origin = card.range_of("x")
    assert origin == "preprocessing"
    assert (low, high) == pytest.approx((-0.485 / 0.229, 0.594 / 0.225))


def test_an_image_is_squeezed_where_timm_says_so():
    assert described(module(default_cfg={**TIMM, "crop_mode": "squash"})).preprocessing.resize is None


@pytest.mark.parametrize(
    "wrong", [3, {}, {"mean": None, "std": None}, {**TIMM, "std": (0, 0, 0)}, {**TIMM, "crop_pct": "much"}]
)
def test_a_configuration_of_another_kind_says_nothing(wrong):
    assert described(module(default_cfg=wrong)) == ModelCard()


def test_an_image_processor_is_read_as_mapping_or_object():
    expected = Preprocessing((0.5,) * 3, (0.25,) * 3, size=(32, 48), interpolation="bicubic")
    assert described(module(preprocessor_config=PROCESSOR)).preprocessing == expected
    processor = SimpleNamespace(to_dict=lambda: PROCESSOR)
    assert described(module(image_processor=processor)).preprocessing == expected


def test_pixels_that_are_not_scaled_have_means_of_pixels():
    config = {**PROCESSOR, "do_rescale": False, "image_mean": [127.5] * 3, "image_std": [51.0] * 3}
    found = described(module(preprocessor_config=config)).preprocessing
    assert (found.mean, found.std) == (pytest.approx((0.5,) * 3), pytest.approx((0.2,) * 3))


def test_only_the_shorter_side_and_the_cut_may_be_given():
    config = {**PROCESSOR, "size": {"shortest_edge": 256}, "do_center_crop": True}
    found = described(module(preprocessor_config={**config, "crop_size": {"height": 224, "width": 224}})).preprocessing
    assert (found.resize, found.size) == (256, (224, 224))


def test_images_that_are_only_scaled_are_of_one_range():
    config = {**PROCESSOR, "do_normalize": False, "rescale_factor": 2 / 255}
    assert described(module(preprocessor_config=config)).range_of("x")[:2] == (0.0, 2.0)


def test_names_of_classes_are_read_in_their_order():
    named = module(config=SimpleNamespace(id2label={1: "dog", 0: "cat"}))
    assert described(named).labels == ("cat", "dog")
    for none in ({0: "LABEL_0", 1: "LABEL_1"}, {1: "dog"}, {"a": "b"}, None, 3):
        assert described(module(config=SimpleNamespace(id2label=none))).labels == ()


def test_the_caller_goes_before_the_card_and_the_card_before_the_configuration():
    made = module(default_cfg=TIMM, model_card=ModelCard((0, 9), labels=("a",)))
    assert described(made).range_of("x") == (0.0, 9.0, "model card")
    assert described(made).preprocessing is not None
    assert described(made, ModelCard((0, 5))).range_of("x") == (0.0, 5.0, "declared")
    assert described(made, ModelCard((0, 5))).labels == ("a",)


def test_something_else_of_that_name_is_left_alone():
    assert described(module(model_card="a text")) == ModelCard()


def test_capture_takes_it_along():
    network = mj.capture(module(model_card=ModelCard((0, 9))), torch.zeros(1, 2))
    assert network.card.range_of("input") == (0.0, 9.0, "model card")


def test_a_model_of_the_zoo_brings_its_card():
    network = mj.capture(mj.zoo.load("digits_mobilenet_v2"), torch.rand(2, 1, 8, 8))
    assert network.card.range_of("x") == (0.0, 1.0, "model card")
    assert (network.card.name, network.card.metric) == ("digits_mobilenet_v2", "top1")
    assert network.card.preprocessing.size == (8, 8)
