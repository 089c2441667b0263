import pytest

from microjoule.capture.size_expression import arithmetic, is_symbol


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Symbol('s31', positive=True, integer=True)", "Symbol('s31', positive=True, integer=True)"),
        ("2*s0 + 1", "2 * s0 + 1"),
        ("FloorDiv(s0, 2)", "FloorDiv(s0, 2)"),
        ("Max(1, s0 - 3)", "Max(1, s0 - 3)"),
        ("s0 >= 2", "s0 >= 2"),
        ("7", "7"),
        ("-oo", "-oo"),
        ("Mod(s0, 8)", "Mod(s0, 8)"),
        ("s0**2", "s0 ** 2"),
        ("Pow(s0, -1)", "Pow(s0, -1)"),
        ("PowByNatural(s77, 2)", "PowByNatural(s77, 2)"),
        (" s0 ", "s0"),
    ],
)
def test_sizes_are_arithmetic(text, expected):
    assert arithmetic(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *(
            "__import__('os')",
            "s0.__class__",
            "(lambda: 1)()",
            "[1][0]",
            "open('x')",
            "Symbol('__import__')",
            "Symbol(x)",
        ),
        *("eval(s0)", "'a'", "f'{s0}'", "s0 +", "", "x", "s0!", "2**2**2**2**99", "Pow(10, 10**9)", "s0**s0", "s0**9"),
        *(
            "Pow(2, s0)",
            "PowByNatural(2)",
            "s0 if s0 else 1",
            "[s0 for s0 in s0]",
            "s0; s0",
            "1e400",
            "9" * 30,
            "s0 << 99",
        ),
        *(
            "Symbol('s0', positive=s1)",
            "Symbol('s0', cls=1)",
            "Symbol('s0', 's1')",
            "s0 + " * 500 + "s0",
            "(" * 300,
            "b'x'",
        ),
        *(
            "not_a_function(1)",
            "Max",
            3,
            None,
            ["s0"],
            "s0 @ s1",
            "Max.__call__(1)",
            "s0[0]",
            "...",
            "(s0 := 1)",
            "*s0",
        ),
    ],
)
def test_anything_else_is_not(text):
    if text == "Max":  # a name by itself is harmless
        assert arithmetic(text) == text
        return
    with pytest.raises(ValueError, match="which is no arithmetic"):
        arithmetic(text)


@pytest.mark.parametrize("name", ["s0", "u12", "zuf3", "s999999"])
def test_symbols(name):
    assert is_symbol(name)


@pytest.mark.parametrize("name", ["s", "0", "S0", "s9999999", "eval1x", 3, None, "u99999999999"])
def test_no_symbols(name):
    assert not is_symbol(name)
