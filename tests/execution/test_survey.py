import warnings

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.errors import DataError, DataWarning, InputRangeWarning
from microjoule.execution.batches import batches
from microjoule.execution.survey import Survey, keep_ranges, watched
from microjoule.graph.card import DATA, InputRange, ModelCard
from microjoule.graph.preprocessing import Preprocessing


class Two(nn.Module):
    def forward(self, image, ids, weight):
        return (image.mean((1, 2, 3)) + ids.sum(1)) * weight


torch.manual_seed(0)
IMAGES, IDS, WEIGHTS = torch.rand(16, 3, 4, 4), torch.arange(32).reshape(16, 2), torch.rand(16)


def seen(data, card=None, model=None, example=None):
    network = mj.capture(model or Two(), example or (IMAGES[:2], IDS[:2], WEIGHTS[:2]), card=card)
    survey = Survey(network, "photos")
    for _ in watched(batches(data, network, batch_size=5), survey):
        pass
    return survey


def images(data, card=None):
    return seen(data, card, nn.Conv2d(3, 2, 1), (IMAGES[:2],))


def facts(survey):
    return [noticed.fact for noticed in survey.notices()]


def test_the_range_of_each_floating_point_input():
    survey = seen((IMAGES * 3 - 1, IDS, WEIGHTS))
    assert survey.samples == 16
    assert survey.ranges == {
        "image": InputRange(float(IMAGES.min()) * 3 - 1, pytest.approx(float(IMAGES.max()) * 3 - 1), DATA),
        "weight": InputRange(float(WEIGHTS.min()), float(WEIGHTS.max()), DATA),
    }
    assert facts(survey) == []


def test_one_value_everywhere_is_constant():
    assert images(torch.full((2, 3, 4, 4), 0.5)).constant == 0.5
    assert images(IMAGES).constant is None
    assert seen((torch.zeros(2, 3, 4, 4), IDS[:2], torch.ones(2))).constant is None
    few = seen(torch.zeros(2, 3), None, nn.Linear(3, 1), (torch.ones(1, 3),))
    assert few.constant is None


def test_samples_that_are_all_the_same_are_told():
    assert facts(images(IMAGES[:1].expand(16, -1, -1, -1))) == ["all 16 samples are the same"]
    assert facts(images(IMAGES[:1].expand(7, -1, -1, -1))) == []
    assert facts(seen((IMAGES[:1].expand(16, -1, -1, -1), IDS, WEIGHTS))) == []


@pytest.mark.parametrize("labels", [torch.full((16,), 3), [3] * 16])
def test_samples_of_one_class_are_told(labels):
    assert facts(images((IMAGES, torch.as_tensor(labels)))) == ["all 16 samples are of class 3"]


@pytest.mark.parametrize(
    "targets", [torch.arange(16) % 2, torch.full((16,), 3.0), torch.zeros(16, 4, 4, dtype=torch.int64), None]
)
def test_several_classes_and_other_targets_are_not(targets):
    assert facts(images(IMAGES if targets is None else (IMAGES, targets))) == []


@pytest.mark.parametrize(
    ("data", "card", "words"),
    [
        (IMAGES * 255, ModelCard((0, 1)), "the range of input is 0 to 1 as declared"),
        (IMAGES * 4 - 2, ModelCard((0, 1), origin="model card"), "is 0 to 1 by the model's card"),
        (IMAGES, ModelCard(preprocessing=Preprocessing((0.5,) * 3, (0.25,) * 3)), "is -2 to 2 by its preprocessing"),
        (IMAGES * 3, ModelCard((0, 1), origin=DATA), "is 0 to 1 in other data"),
        (IMAGES * 1.3, ModelCard((0, 1)), "is 0 to 1 as declared"),
        (IMAGES, ModelCard((0, 255)), "photos has values of"),
    ],
)
def test_data_in_another_range_is_told(data, card, words):
    (fact,) = facts(images(data, card))
    assert words in fact


@pytest.mark.parametrize(
    ("data", "card"),
    [
        (IMAGES * 1.24, ModelCard((0, 1))),
        (IMAGES * 1.4, ModelCard((0, 1), origin=DATA)),
        (IMAGES * 0.6, ModelCard((0, 1))),
        (IMAGES[:7] * 0.1, ModelCard((0, 1))),
        (IMAGES * 255, ModelCard((0, 1), origin="example")),
        (IMAGES * 255, ModelCard()),
    ],
    ids=["a little over", "over what data had", "a little less", "few samples", "an example", "nothing known"],
)
def test_data_that_may_well_be_in_its_range_is_not(data, card):
    assert facts(images(data, card)) == []


def test_only_images_cover_their_range():
    survey = seen(torch.rand(16, 3) * 0.1, ModelCard((0, 1)), nn.Linear(3, 1), (torch.ones(1, 3),))
    assert facts(survey) == []


def test_what_is_found_is_in_the_history_and_raised_as_a_warning():
    survey = images(IMAGES * 255, ModelCard((0, 1)))
    with pytest.warns(InputRangeWarning, match="photos has values of"):
        survey.warn()
    survey = images((IMAGES, torch.zeros(16).long()))
    with pytest.warns(DataWarning, match="of class 0"):
        survey.warn()
    assert survey.network.history[-1].kind == "data"


def test_ranges_are_kept_where_nothing_better_is_known():
    network = images(IMAGES).network
    keep_ranges(network, {"input": InputRange(-1.0, 2.0, DATA)})
    assert network.card.range_of("input") == (-1.0, 2.0, DATA)
    keep_ranges(network, {"input": InputRange(-9.0, 9.0, DATA)})
    assert network.card.range_of("input") == (-1.0, 2.0, DATA)
    other = images(IMAGES, ModelCard((0, 1))).network
    keep_ranges(other, {"input": InputRange(-1.0, 2.0, DATA)})
    assert other.card.range_of("input") == (0.0, 1.0, "declared")
    keep_ranges(other, {})


# Where data meets a network -------------------------------------------------------------------------------------------


def test_calibration_refuses_data_of_one_value_and_tells_what_contradicts():
    network = mj.capture(nn.Sequential(nn.Conv2d(3, 2, 1)), IMAGES[:2], card=ModelCard((0, 1)))
    mj.quantize(network)
    with pytest.raises(DataError, match="the same number everywhere"):
        mj.calibrate(network, torch.zeros_like(IMAGES))
    with pytest.warns(InputRangeWarning, match="Tensor has values of"):
        mj.calibrate(network, IMAGES * 255)


def test_calibration_tells_the_card_what_inputs_are_like():
    network = mj.capture(nn.Sequential(nn.Conv2d(3, 2, 1)), IMAGES[:2])
    mj.quantize(network)
    mj.calibrate(network, IMAGES * 3)
    low, high, origin = network.card.range_of("input")
    assert (low, high, origin) == (float(IMAGES.min()) * 3, pytest.approx(float(IMAGES.max()) * 3), DATA)


def test_noise_tells_nothing():
    network = mj.capture(nn.Sequential(nn.Conv2d(3, 2, 1)), IMAGES[:2])
    quantized = mj.recipes.data_free(network, input_range=(-1, 1))
    assert quantized.card.range_of("input") == (-1.0, 1.0, "declared")


def test_an_evaluation_tells_what_contradicts():
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network, labels = mj.capture(model, IMAGES[:2], card=ModelCard((0, 1))), torch.arange(16) % 2
    with pytest.warns(InputRangeWarning, match="Tensor has values|tuple has values"):
        mj.evaluate(network, (IMAGES * 255, labels), mj.zoo.metric("top1"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mj.evaluate(network, (IMAGES, labels), mj.zoo.metric("top1"))
        mj.evaluate(model, (IMAGES * 255, labels), mj.zoo.metric("top1"))
