import pytest

import microjoule as mj
from benchmarks import compression_widths
from tests.benchmarks.small_case import small_case


@pytest.fixture
def given():
    return small_case(32)


def test_accuracy_and_latencies_of_each_network(given, monkeypatch, tmp_path):
    made = []
    monkeypatch.setattr(compression_widths, "SHARES", {"small": 0.6})
    monkeypatch.setattr(compression_widths, "PLOTS", tmp_path)
    monkeypatch.setattr(compression_widths, "case", lambda name, data: given)
    ours = compression_widths.ours
    monkeypatch.setattr(compression_widths, "ours", lambda *some, **how: made.append(ours(*some, **how)) or made[-1])
    found = {figure.name: figure for figure in compression_widths.figures(tmp_path)}
    assert list(found) == [
        "small, multiples of 8, 60% of the MACs",
        *(f"small, {one}, {kind} latency" for one in ("original", "multiples of 8, 60%") for kind in ("FP32", "int8")),
    ]
    right = mj.evaluate(made[0], given.given.labelled, given.given.metric).value
    assert found["small, multiples of 8, 60% of the MACs"].value == pytest.approx(right)
    assert found["small, original, FP32 latency"].value == 1.0
    assert found["small, multiples of 8, 60%, int8 latency"].value > 0
    widths = {layer.out_channels for layer in made[0].layers} - {4}
    assert widths
    assert all(width % 8 == 0 for width in widths)
    assert "multiples of 8, 60%, int8" in (tmp_path / "compression_widths.html").read_text()
