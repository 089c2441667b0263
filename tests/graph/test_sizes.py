import pytest

from microjoule.graph.sizes import DEEPEST, LONGEST, checked, evaluate, holds, names, put, text


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (7, 7),
        ("n", 6),
        (("*", 2, "n"), 12),
        (("//", ("+", "n", 1), 2), 3),
        (("%", "n", 4), 2),
        (("trunc", ("/", ("float", "n"), 4)), 1),
        (("max", 1, "n", "h"), 10),
        (("if", ("<", "n", "h"), 1, 2), 1),
        (("and", ("==", "n", 6), ("not", ("==", "h", 6))), True),
        (("-", ("neg", "n"), ("abs", -2)), -8),
        (("**", "n", 2), 36),
    ],
)
def test_an_expression_is_computed(expression, value):
    assert evaluate(expression, {"n": 6, "h": 10}) == value
    assert checked(expression) == expression


def test_what_cannot_be_computed_does_not_hold():
    assert not holds(("==", ("//", 1, "n"), 0), {"n": 0})
    assert not holds((">", ("*", 2**62, "n"), 0), {"n": 4})
    assert not holds((">", ("**", 2, "n"), 0), {"n": 65})
    assert not holds((">=", ("sqrt", ("neg", "n")), 0), {"n": 4})
    assert holds((">", ("**", 2, "n"), 0), {"n": 60})


def test_an_expression_is_read_from_lists():
    assert checked(["==", ["*", 2, "n"], "m"]) == ("==", ("*", 2, "n"), "m")


def nested(depth):
    return "n" if depth == 0 else ["neg", nested(depth - 1)]


@pytest.mark.parametrize(
    "value",
    [
        *(["eval", "n"], ["+", 1], ["+", 1, 2, 3], ["if", 1, 2], [], ["+"], [1, 2], "n; x", "", None, {"a": 1}),
        *(float("inf"), 2**64, ["*", 2, 2**64], nested(DEEPEST + 1), ["max", *range(LONGEST)], [["+"], 1, 2]),
    ],
    ids=repr,
)
def test_what_is_no_expression_is_refused(value):
    with pytest.raises(ValueError, match="expression of sizes"):
        checked(value)


def test_as_deep_and_as_long_as_is_allowed_passes():
    checked(nested(DEEPEST - 1))
    checked(["max", *range(LONGEST - 2)])


def test_the_sizes_that_are_read_are_named():
    assert names(("==", ("*", 2, "n"), ("max", "h", 3))) == {"n", "h"}
    assert names(3) == set()


def test_sizes_are_put_in():
    assert put(("==", ("*", 2, "n"), "h"), {"n": 3}) == ("==", 6, "h")
    assert put(("==", ("*", 2, "n"), 6), {"n": 3}) is True
    assert put("n", {"n": 3}) == 3
    assert put("n", {"h": 3}) == "n"


def test_it_is_written_as_a_person_does():
    assert text(("==", ("//", ("*", 2, "n"), 3), ("max", 1, ("+", "h", 1)))) == "((2 * n) // 3) == max(1, h + 1)"
    assert text("n") == "n"
