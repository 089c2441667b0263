import ast

import pytest

from microjoule.capture.arithmetic import parsed


def named(node):
    return node.id if isinstance(node, ast.Name) else None


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("4", 4),
        ("a + 2*b", ("+", "a", ("*", 2, "b"))),
        ("(a // 3) % 2 == 0", ("==", ("%", ("//", "a", 3), 2), 0)),
        ("Mod(a, 4) != 0", ("!=", ("%", "a", 4), 0)),
        ("2 <= a < 9", ("and", ("<=", 2, "a"), ("<", "a", 9))),
        ("math.trunc(a / 2)", ("trunc", ("/", "a", 2))),
        ("-a if a > b else b", ("if", (">", "a", "b"), ("neg", "a"), "b")),
        ("not a == b or a >= 5", ("or", ("not", ("==", "a", "b")), (">=", "a", 5))),
    ],
)
def test_arithmetic_is_read_as_data(written, expected):
    assert parsed(written, named) == expected


@pytest.mark.parametrize(
    "written", ["__import__('os').system('true')", "a.b", "[a]", "a <<", "max(a, key=b)", "a << 2", "'text'"]
)
def test_what_is_no_arithmetic_is_refused(written):
    with pytest.raises(ValueError, match="is no arithmetic of sizes"):
        parsed(written, named)
