from dataclasses import replace

import pytest

from microjoule.records.json_io import from_json, to_json
from tests.report.samples import bayesian_pruned

RECORD = replace(bayesian_pruned(), size_bits=3200)


def test_rates_by_hand():
    assert RECORD.compression == 10
    assert RECORD.compression_with_bits == pytest.approx(40)


def test_a_record_goes_to_json_and_back():
    assert from_json(to_json(RECORD)) == RECORD
