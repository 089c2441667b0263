from dataclasses import replace

import pytest

from microjoule.records.json_io import from_json, to_json
from tests.report.samples import reached


def test_a_search_comes_back_from_json():
    assert from_json(to_json(reached())) == reached()


@pytest.mark.parametrize(
    ("weights", "activations", "stage"),
    [((8,), (8,), "data-free W8A8"), ((4, 8), (8,), "data-free W4/8A8"), ((), (), "data-free W32A32")],
    ids=["one width", "two widths", "floating point"],
)
def test_a_stage_names_its_widths(weights, activations, stage):
    taken = reached().taken
    assert replace(taken, weights=weights, activations=activations).stage == stage


def test_the_attempt_that_was_taken_is_found():
    assert reached().taken.name == reached().chosen == "data-free"
