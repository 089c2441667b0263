import math

import pytest
from torch import tensor

from microjoule.deploy.difference import difference

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("expected", "got", "apart"),
    [
        ([2.0, -4.0], [2.0, -3.0], 0.25),  # 1 of 4
        ([0.0, 0.0], [0.0, 0.5], 0.5),  # of nothing: as it is
        ([1.0, INF], [1.5, INF], 0.5),  # infinities are no size
        ([NAN, 1.0], [NAN, 1.0], 0.0),
        ([NAN, 1.0], [2.0, 1.0], INF),
        ([INF, 1.0], [-INF, 1.0], INF),
        ([1.0, 2.0], [1.0, INF], INF),
        ([INF], [1.0], INF),
        ([1, 2, 3, 4], [1, 2, 3, 5], 0.25),
        ([True, False], [True, True], 0.5),
        ([1.0], [1], INF),
        ([1], [1.0], INF),
        ([1.0, 2.0], [1.0], INF),
    ],
)
def test_a_difference_by_hand(expected, got, apart):
    assert difference(tensor(expected), tensor(got)) == apart


def test_nothing_differs_from_nothing():
    assert difference(tensor([]), tensor([])) == 0.0
    assert difference(tensor([]).reshape(0, 2), tensor([]).reshape(0, 3)) == INF
