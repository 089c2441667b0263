import math

import pytest

from microjoule.cli.pairs import joined_pairs, numbers


@pytest.mark.parametrize(
    ("text", "found"),
    [("1", (1.0,)), ("0.5,-2", (0.5, -2.0)), ("1e2", (100.0,)), ("a", ()), ("1,", ()), ("", ()), ("1,nan", ())],
)
def test_numbers_by_hand(text, found):
    assert numbers(text) == found


def test_what_is_not_finite_is_no_number():
    assert numbers(f"{math.inf}") == ()


def test_two_values_of_an_option_are_one_word():
    words = ["quantize", "a.pt2", "--normalise", "0.1,0.2", "-0.5", "--input-range", "-1", "1", "--size", "8", "9"]
    joined = ["quantize", "a.pt2", "--normalise", "0.1,0.2 -0.5", "--input-range", "-1 1", "--size", "8", "9"]
    assert joined_pairs(words) == joined


@pytest.mark.parametrize(
    "words",
    [
        ["--normalise", "imagenet", "--out", "a.mj"],
        ["--normalise", "imagenet", "0.5"],
        ["--normalise", "0.5 0.5"],
        ["--input-range", "-1,1", "model.pt2"],
        ["--normalise"],
        ["--normalise", "0.5"],
        ["--normalise", "nan", "inf"],
        [],
    ],
)
def test_other_words_stay_as_they_are(words):
    assert joined_pairs(words) == words
