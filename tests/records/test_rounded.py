from microjoule.records.json_io import from_json, to_json
from microjoule.records.rounded import Frozen, TiesAvoided
from microjoule.records.skipped import Skipped


def test_they_go_to_json_and_back():
    for record in (Frozen({"a": 1}, {"b": 2}, 32, {"c": 35}), TiesAvoided({"a": 0.001}, (Skipped("b", "why"),))):
        assert from_json(to_json(record)) == record
