"""How long a layer takes: its sizes by hand, factors that come back from times that they made, and nothing for free."""

import numpy as np
import pytest

from microjoule.compression.latency_model import LEAST, LatencyModel, latency_model, layer_sizes
from microjoule.compression.prices import Work


def conv(out, each, side=8, kernel=3, groups=1):
    return Work((out, each, kernel, kernel), side**2, each * groups * side**2, out * side**2, groups)


CASES = [
    (conv(20, 16), "kernel", 20 * 16 * 9 * 64, 32 * 16 * 9 * 64, 0),
    (conv(16, 3), "kernel", 16 * 3 * 9 * 64, 16 * 3 * 9 * 64, 0),
    (conv(16, 18), "kernel", 16 * 18 * 9 * 64, 16 * 32 * 9 * 64, 16 * 18 * 9 * 64),
    (conv(16, 20, kernel=1), "1x1", 16 * 20 * 64, 16 * 32 * 64, 0),
    (conv(24, 1, groups=24), "grouped", 24 * 9 * 64, 32 * 9 * 64, 0),
    (Work((10, 64), 1, 64, 10), "linear", 640, 16 * 64, 0),
]


@pytest.mark.parametrize(
    ("work", "kernel", "macs", "padded", "uneven"),
    CASES,
    ids=["blocks of outputs", "few inputs", "uneven inputs", "1x1", "depthwise", "linear"],
)
def test_sizes_by_hand(work, kernel, macs, padded, uneven):
    wanted = {
        "layers": 1,
        f"{kernel} products": macs,
        f"{kernel} products in blocks": padded,
        "values read": work.read,
        "values written": work.written,
    }
    assert layer_sizes(work) == wanted | ({"products of uneven inputs": uneven} if uneven else {})


def networks(count=40):
    """Networks of one to six layers of any kind, the largest first."""
    draw = np.random.default_rng(0).integers
    found = []
    for _ in range(count):
        kinds = [conv(draw(1, 65), draw(1, 65), 8), conv(draw(1, 65), draw(1, 65), 4, 1), conv(draw(1, 65), 1, 8, 3, 9)]
        found.append([kinds[draw(3)] for _ in range(draw(1, 7))])
    return [[conv(64, 64, 16)] * 6, *found]


def test_factors_come_back_from_times_that_they_made():
    made = {"layers": 0.01, "kernel products": 2e-6, "1x1 products in blocks": 5e-6, "values read": 1e-5}

    def time(works):
        return 0.3 + sum(made.get(name, 0) * size for work in works for name, size in layer_sizes(work).items())

    works = networks()
    model = latency_model(works, [time(one) for one in works])
    assert model.relative_error < 1e-2  # a hundredth is divided by products, whatever was measured
    for one in works:
        assert model.fixed_ms + sum(map(model.layer_ms, one)) == pytest.approx(time(one), rel=1e-2)
    assert model.fixed_ms == pytest.approx(0.3, rel=0.05)


def test_times_that_are_all_the_same_are_fixed_but_for_a_hundredth_by_products():
    works = networks()
    model = latency_model(works, [2.0] * len(works))
    assert model.fixed_ms == pytest.approx(2, abs=0.02)
    assert sum(map(model.layer_ms, works[0])) == pytest.approx(2 * LEAST, rel=0.3)
    assert min(model.factors.values()) >= 0


def test_the_error_is_that_of_networks_that_were_not_seen():
    works = [[conv(8, 8)], [conv(8, 8)], [conv(8, 8)]]
    model = latency_model(works, [1.0, 2.0, 2.0])  # the others say 2, 4/3, 4/3 or so: weighed by 1 / t squared
    assert model.relative_error == pytest.approx(((1.0) ** 2 + 2 * (0.4) ** 2) ** 0.5 / 3**0.5, rel=0.01)


def test_a_price_is_that_of_a_layer():
    model = LatencyModel(0.5, {"layers": 0.25, "values read": 0.5}, 2.0, 0.0)
    work = Work((3, 2), 1, 4, 3)
    assert model.currency.price(work) == 0.25 + 0.5 * 4 + 2.0 * 6
    assert (model.currency.name, model.currency.unit, model.currency.each_call) == ("latency", "ms", True)
