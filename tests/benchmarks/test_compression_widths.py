import pytest

import microjoule as mj
from benchmarks import compression_widths
from benchmarks.partial_results import Partial
from tests.benchmarks.small_case import small_case


@pytest.fixture
def given():
    return small_case(32)


@pytest.mark.slow
def test_accuracy_and_latencies_of_each_network(given, monkeypatch, tmp_path):
    made = []
    monkeypatch.setattr(compression_widths, "SHARES", {"small": 0.6})
    monkeypatch.setattr(compression_widths, "PLOTS", tmp_path)
    monkeypatch.setattr(compression_widths, "case", lambda name, data, seed=0: given)
    ours = compression_widths.ours
    monkeypatch.setattr(compression_widths, "ours", lambda *some, **how: made.append(ours(*some, **how)) or made[-1])
    monkeypatch.setattr(compression_widths, "MINUTES", {"small": 1})
    (part,) = compression_widths.parts(tmp_path)
    found = {figure.name: figure for figure in part.measure(Partial())}
    tools = ("multiples of 8, 60%", "multiples of 16, 60%")
    assert list(found) == [
        "small before",
        *(f"small, {tool} of the MACs, below the original" for tool in tools),
        *(f"small, {one}, {kind} latency" for one in ("original", *tools) for kind in ("FP32", "int8")),
    ]
    made = made[::3]  # the others are of other seeds
    for tool, network in zip(tools, made, strict=True):
        right = mj.evaluate(network, given.given.labelled, given.given.metric).value
        figure = found[f"small, {tool} of the MACs, below the original"]
        assert figure.evidence["values"][0] == pytest.approx(100 - right)
        assert len(figure.evidence["values"]) == 3
    assert found["small, original, FP32 latency"].value == 1.0
    assert found["small, multiples of 8, 60%, int8 latency"].value > 0
    for multiple, network in zip((8, 16), made, strict=True):
        widths = {layer.out_channels for layer in network.layers} - {4}
        assert widths
        assert all(width % multiple == 0 for width in widths)
    page = (tmp_path / "small-widths.html").read_text()
    assert all(f"{tool}, int8" in page for tool in tools)
