"""The peak is that of a process that quantizes and scores one network."""

from types import SimpleNamespace

import pytest
from torch.utils.data import Subset

import microjoule as mj
from benchmarks import memory
from benchmarks.memory import NETWORKS, figures, peak_bytes
from benchmarks.subjects import Subject


@pytest.mark.parametrize(("peak", "state"), [(2_500_000_000, "met"), (3_500_000_000, "missed")])
def test_each_network_has_a_process_of_its_own(monkeypatch, tmp_path, peak, state):
    asked = []

    class Pool:
        def __enter__(self):
            return SimpleNamespace(apply=lambda job, arguments: asked.append((job, arguments[0])) or peak)

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(memory.multiprocessing, "get_context", lambda how: SimpleNamespace(Pool=lambda count: Pool()))
    found = list(figures(tmp_path))
    assert asked == [(peak_bytes, name) for name in NETWORKS]
    assert {(figure.value, figure.unit, figure.state) for figure in found} == {(peak / 1e9, "GB", state)}


def test_a_network_is_scored_quantized_and_scored_again(monkeypatch, tmp_path):
    images = mj.zoo.dataset("digits_test")
    network = mj.capture(mj.zoo.load("digits_resnet"), images[0][0][None])
    given = Subject(network, images, mj.zoo.metric("top1"), (0.0, 1.0), "digits_resnet")
    seen, evaluate = [], mj.evaluate
    monkeypatch.setattr(memory, "NETWORKS", {"digits_resnet": ("digits", "", "top1")})
    monkeypatch.setattr(memory, "subject", lambda name, data, **_: given)

    def watched(network, data, metric, **settings):
        seen.append((bool(network.quantizers), len(data), isinstance(data, Subset)))
        return evaluate(network, data, metric, **settings)

    monkeypatch.setattr(mj, "evaluate", watched)
    assert peak_bytes("digits_resnet", tmp_path) > 10**8
    assert seen == [(False, 64, True), (True, 64, True)]
