import math

from microjoule.records.analysed import Sensitivities, Sensitivity
from microjoule.records.json_io import from_json, to_json


def test_what_was_not_measured_and_what_is_infinite_come_back():
    rows = (
        Sensitivity("a", "weight", "a", 4, None, None, None, 0.5),
        Sensitivity("b", "activation", "", 8, 71.5, math.inf, 0.0, 0.0),
    )
    record = Sensitivities("top1", "%", 72.0, 64, rows, None)
    assert from_json(to_json(record)) == record
