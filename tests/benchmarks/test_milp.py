"""The integer program: by hand, and each word of a computation has a say in it."""

import pytest

from benchmarks.milp import least_peak
from microjoule.scheduling import Computation, Operator, Value


def chain(*, inplace=None, workspace=0, wanted=False, accumulated=False):
    """x (3) -> a (5) -> y (2); with a sum, a second operator adds to a."""
    values = (Value("x", 3, is_input=True), Value("a", 5, is_output=wanted), Value("y", 2, is_output=True))
    adds = (Operator("add to a", (0,), (1,)),) if accumulated else ()
    last = Operator("make y", (1,), (2,), inplace=inplace, workspace_bytes=workspace)
    return Computation("chain", values, (Operator("make a", (0,), (1,)), *adds, last))


@pytest.mark.parametrize(
    ("given", "peak"),
    [
        (chain(), 8),  # x and a
        (chain(workspace=4), 11),  # a, y and the workspace
        (chain(workspace=4, inplace=1), 9),  # a, written over by y, and the workspace
        (chain(workspace=4, inplace=1, wanted=True), 11),  # what the caller wants is not written over
        (chain(accumulated=True), 8),  # a is there once
    ],
    ids=["plain", "workspace", "in place", "wanted", "sum"],
)
def test_a_peak_by_hand(given, peak):
    assert least_peak(given) == peak


def test_the_order_is_chosen():
    """Two branches that grow to 40 and 30 and shrink to 2, side by side in the file."""
    sizes = (("x", 4), ("a", 40), ("b", 30), ("c", 2), ("d", 2))
    values = tuple(Value(name, size, name == "x", name in "cd") for name, size in sizes)
    reads = ((0, 1), (0, 2), (1, 3), (2, 4))
    operators = tuple(Operator(f"make {values[out].name}", (one,), (out,)) for one, out in reads)
    assert least_peak(Computation("branches", values, operators)) == 46
