import pytest

from microjoule.records.json_io import from_json, to_json
from microjoule.records.learned import BayesianPruned

RECORD = BayesianPruned(
    method="normal_jeffreys",
    data="photos",
    epochs=2,
    strength=1.0,
    threshold=0.0,
    units={"a": (20, 8)},
    inputs={"b": (800, 88)},
    parameters_before=4000,
    parameters_after=400,
    bits={"b": 9},
    size_bits=3200,
    seed=3,
    seconds=1.5,
)


def test_rates_by_hand():
    assert RECORD.compression == 10
    assert RECORD.compression_with_bits == pytest.approx(40)


def test_a_record_goes_to_json_and_back():
    assert from_json(to_json(RECORD)) == RECORD
