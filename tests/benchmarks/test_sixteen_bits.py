"""Networks with labelled data are scored, the others compared by their outputs."""

import math

import pytest
from torch import tensor

import microjoule as mj
from benchmarks import sixteen_bits
from benchmarks.sixteen_bits import figures, sqnr_db


def test_rounding_is_not_seen_in_16_bits(monkeypatch, tmp_path):
    monkeypatch.setattr(mj.zoo, "names", lambda: ("digits_resnet", "unet_small"))
    monkeypatch.setattr(sixteen_bits, "SAMPLES", 20)
    scored, compared = figures(tmp_path)
    assert (scored.value, scored.state, scored.compared_with) == (0.0, "met", "20 samples, 0 won, 0 lost")
    assert compared.state == "met"
    assert 60 < compared.value < 120


def test_in_4_bits_it_is(monkeypatch, tmp_path):
    monkeypatch.setattr(mj.zoo, "names", lambda: ("unet_small",))
    monkeypatch.setattr(sixteen_bits, "BITS", 4)
    (compared,) = figures(tmp_path)
    assert compared.state == "missed"


@pytest.mark.parametrize(("found", "expected"), [([3.0, 4.0], math.inf), ([3.0, 3.5], 20.0)])
def test_signal_over_noise_by_hand(found, expected):
    """25 over 0.25 is 100."""
    assert sqnr_db(tensor([3.0, 4.0]), tensor(found)) == expected
