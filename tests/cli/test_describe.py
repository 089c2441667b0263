"""What a command line says of a model, on the network's card."""

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.cli.describe import Words, describe, image_channels
from microjoule.errors import FileError, MicrojouleWarning, SettingError
from microjoule.graph.card import MODEL_CARD, ModelCard
from microjoule.graph.preprocessing import Preprocessing

HALVES = Preprocessing((0.5,) * 3, (0.5,) * 3, size=(8, 8), interpolation="bicubic")


def network(channels=3, card=None):
    return mj.capture(nn.Conv2d(channels, 2, 1), torch.rand(2, channels, 8, 8), card=card)


def described(words, channels=3, card=None):
    made = network(channels, card)
    describe(made, words)
    return made.card


def test_nothing_said_changes_nothing():
    card = ModelCard((0, 1), HALVES, ("a",), "top1", "name", MODEL_CARD)
    assert described(Words(), card=card) == card
    assert described(Words()) == ModelCard()


@pytest.mark.parametrize(
    ("words", "mean", "std"),
    [
        ("0.5 0.25", (0.5,) * 3, (0.25,) * 3),
        ("0.1,0.2,0.3 0.25", (0.1, 0.2, 0.3), (0.25,) * 3),
        ("127.5 51", (0.5,) * 3, (0.2,) * 3),
        ("none", (0.0,) * 3, (1.0,) * 3),
        ("imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ],
)
def test_pixels_by_number_or_name(words, mean, std):
    card = described(Words(normalise=words))
    assert (card.preprocessing.mean, card.preprocessing.std) == (pytest.approx(mean), pytest.approx(std))
    assert card.range_of("input").origin == "preprocessing"


def test_one_channel_takes_one_number():
    assert described(Words(normalise="imagenet"), channels=1).preprocessing == Preprocessing(
        (0.485,), (0.229,), colours="L"
    )
    with pytest.raises(SettingError, match="--normalise: has 3 means, and the network takes 1 channels"):
        described(Words(normalise="0.1,0.2,0.3 0.5"), channels=1)


def test_what_is_said_goes_onto_what_was_known():
    card = ModelCard((-9, 9), HALVES, origin=MODEL_CARD)
    with pytest.warns(
        MicrojouleWarning, match=r"its preprocessing is \(pixel / 255 - 0,0,0\) / 1,1,1, RGB NCHW from now"
    ):
        found = described(Words(normalise="none", size="6,7", prepare=("resize=9",)), card=card)
    assert found.preprocessing == Preprocessing((0.0,) * 3, (1.0,) * 3, size=(6, 7), resize=9, interpolation="bicubic")
    assert found.range_of("input") == (0.0, 1.0, "preprocessing")


def test_another_size_contradicts_nothing():
    card = ModelCard((-1, 1), HALVES, origin=MODEL_CARD)
    found = described(Words(size="6", prepare=("interpolation=nearest", "resize=7")), card=card)
    assert found.preprocessing == Preprocessing((0.5,) * 3, (0.5,) * 3, size=(6, 6), resize=7, interpolation="nearest")
    assert found.range_of("input") == (-1.0, 1.0, MODEL_CARD)


def test_a_range_is_declared_and_stays_so():
    assert described(Words(input_range="-1 2")).range_of("input") == (-1.0, 2.0, "declared")
    with pytest.warns(MicrojouleWarning, match=r"its input range is \(-1.0, 2.0\) from now on, and was \(0.0, 1.0\)"):
        assert described(Words(input_range="-1,2"), card=ModelCard((0, 1))).input_range == (-1.0, 2.0)


def test_classes_are_those_of_the_list(tmp_path):
    (tmp_path / "a.txt").write_text("cat\ndog\n")
    assert described(Words(classes=tmp_path / "a.txt")).labels == ("cat", "dog")
    with pytest.warns(MicrojouleWarning, match=r"its labels is \('cat', 'dog'\) from now on"):
        described(Words(classes=tmp_path / "a.txt"), card=ModelCard(labels=("dog", "cat")))
    with pytest.raises(FileError, match="nowhere"):
        described(Words(classes=tmp_path / "nowhere.txt"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (Words(size="8"), "--size: nothing tells"),
        (Words(prepare=("resize=8",)), "--prepare: nothing tells"),
        (Words(normalise="photo"), "--normalise: is 'photo'"),
        (Words(normalise="0.5"), "--normalise: is '0.5'"),
        (Words(normalise="0.5 0"), "preprocessing: has std"),
        (Words(normalise="none", size="8,8,8"), "--size: is '8,8,8'"),
        (Words(normalise="none", size="99999"), "size"),
        (Words(normalise="none", prepare=("resize=0",)), "--prepare resize"),
        (Words(normalise="none", prepare=("colours=CMYK",)), "colours"),
        (Words(normalise="none", prepare=("mean=3",)), "--prepare: is 'mean=3'"),
        (Words(input_range="1 0"), "--input-range"),
    ],
)
def test_what_cannot_be_is_refused(words, message):
    with pytest.raises(SettingError, match=message):
        described(words)


def test_images_are_what_a_network_of_images_takes():
    assert [image_channels(network(channels)) for channels in (1, 3, 5)] == [1, 3, None]
    vectors = mj.capture(nn.Linear(3, 2), torch.rand(2, 3))
    assert image_channels(vectors) is None
    with pytest.raises(SettingError, match="--normalise: is for images, and the network takes none"):
        describe(vectors, Words(normalise="none"))
    last = mj.capture(nn.Linear(3, 2), torch.rand(2, 5, 5, 3))
    assert image_channels(last) == 3
