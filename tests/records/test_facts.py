from dataclasses import FrozenInstanceError, fields, is_dataclass
from typing import get_args

import pytest

from microjoule.records import analysed, facts, measured
from microjoule.records.facts import Record, Skipped

CLASSES = [found for found in (vars(analysed) | vars(measured) | vars(facts)).values() if is_dataclass(found)]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_class_is_a_record_or_a_part_of_one(kind):
    parts = " ".join(str(field.type) for other in CLASSES for field in fields(other))
    assert kind in get_args(Record) or kind.__name__ in parts


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_record_is_frozen_and_has_no_room_for_more(kind):
    assert kind.__dataclass_params__.frozen
    assert not hasattr(kind, "__dict__") or "__slots__" in vars(kind)


def test_a_record_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Skipped("a", "b").place = "c"
