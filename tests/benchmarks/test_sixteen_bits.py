"""Networks with labelled data are scored, the others compared by their outputs."""

import microjoule as mj
from benchmarks import sixteen_bits
from benchmarks.sixteen_bits import figures


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
