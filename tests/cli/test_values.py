"""The values of options, and what is said of those that cannot be read."""

import pytest

from microjoule.cli.values import (
    amount_or_bits,
    bit_pairs,
    layer_bits,
    named_values,
    normalisation,
    range_of,
    whole_numbers,
)
from microjoule.errors import SettingError


def test_layers_by_hand():
    assert layer_bits(["a.b=4", "c=4/16", "d=none"]) == {"a.b": 4, "c": (4, 16), "d": None}


@pytest.mark.parametrize("text", ["a", "=4", "a=x", "a=4/8/8"])
def test_a_layer_that_cannot_be_read_is_refused(text):
    with pytest.raises(SettingError, match="--layer"):
        layer_bits([text])


def test_pairs_of_bits_by_hand():
    assert bit_pairs("W4A8,W8A16") == ((4, 8), (8, 16))


@pytest.mark.parametrize("text", ["", "4/8", "W4A8,", "W4A8;W8A8", "w4a8"])
def test_pairs_that_cannot_be_read_are_refused(text):
    with pytest.raises(SettingError, match="--candidates: is"):
        bit_pairs(text)


def test_a_budget_by_hand():
    assert (amount_or_bits("9.6e9"), amount_or_bits("W4A8")) == (9.6e9, "W4A8")


def test_a_layer_is_named_once():
    with pytest.raises(SettingError, match="twice"):
        layer_bits(["a=4", "a=8"])


def test_a_range_by_hand():
    assert range_of("--range", "-1,2.5") == range_of("--range", "-1 2.5") == (-1.0, 2.5)
    assert range_of("--range", None) is None


@pytest.mark.parametrize("text", ["1", "2,1", "a,b", "0,inf", "1,1"])
def test_a_range_that_is_none_is_refused(text):
    with pytest.raises(SettingError, match="--range"):
        range_of("--range", text)


def test_whole_numbers_by_hand():
    assert whole_numbers("--shape", "3,224,224", at_least=1) == (3, 224, 224)
    for text in ("3,a", "3,0"):
        with pytest.raises(SettingError, match="--shape"):
            whole_numbers("--shape", text, at_least=1)


@pytest.mark.parametrize(
    ("text", "mean", "std"),
    [
        ("0.5 0.25", (0.5,), (0.25,)),
        ("0.5/0.25", (0.5,), (0.25,)),
        ("0.1,0.2,0.3 0.4,0.5,0.6", (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)),
        ("0.5 0.1,0.2", (0.5, 0.5), (0.1, 0.2)),
        ("127.5 51", (0.5,), (0.2,)),
        ("0 1", (0.0,), (1.0,)),
        ("0 255", (0.0,), (1.0,)),
    ],
)
def test_a_mean_and_a_deviation_by_hand(text, mean, std):
    assert normalisation("--normalise", text) == (pytest.approx(mean), pytest.approx(std))


@pytest.mark.parametrize("text", ["0.5", "a b", "0.5 0.5 0.5", "0.1,0.2 0.1,0.2,0.3", "0.5 ,", ""])
def test_what_is_no_mean_and_deviation_is_refused(text):
    with pytest.raises(SettingError, match="--normalise: is"):
        normalisation("--normalise", text)


def test_named_values_by_hand():
    assert named_values("--prepare", ["a=1", "b=x=y"], ("a", "b")) == {"a": "1", "b": "x=y"}
    for wrong in (["a"], ["a="], ["c=1"], ["a=1", "a=2"]):
        with pytest.raises(SettingError, match="--prepare: is"):
            named_values("--prepare", wrong, ("a", "b"))
