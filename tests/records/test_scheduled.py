from dataclasses import replace

from microjoule.records.json_io import from_json, to_json
from microjoule.records.scheduled import Placement
from tests.report.samples import scheduled


def test_a_schedule_comes_back_from_json():
    assert from_json(to_json(scheduled())) == scheduled()
    unproved = replace(scheduled(), limit=None, after=replace(scheduled().after, peak=None))
    assert from_json(to_json(unproved)) == unproved


def test_an_order_is_best_if_none_can_take_less():
    record = scheduled()
    assert record.optimal
    assert not replace(record, bound_bytes=record.bound_bytes - 1).optimal


def test_each_value_of_a_placement_lies_there_and_all_but_the_first_in_place():
    record = replace(scheduled(), arena=(Placement(("a", "b"), 0, 2, 64, 16), Placement(("c",), 1, 3, 80, 8)))
    assert record.places == {"a": range(64, 80), "b": range(64, 80), "c": range(80, 88)}
    assert record.in_place == {"b"}
