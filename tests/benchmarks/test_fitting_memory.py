"""The peak is that of the process that fits, and every image is counted."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import microjoule as mj
from benchmarks import fitting_memory
from benchmarks.fitting_memory import figures, peak_bytes


@pytest.mark.parametrize(("peak", "state"), [(1_500_000_000, "met"), (2_500_000_000, "missed")])
def test_the_peak_is_told_in_gigabytes(monkeypatch, tmp_path, peak, state):
    class Pool:
        def __enter__(self):
            return SimpleNamespace(apply=lambda job, arguments: (10**9, peak))

        def __exit__(self, *_):
            return None

    context = SimpleNamespace(Pool=lambda count: Pool())
    monkeypatch.setattr(fitting_memory.multiprocessing, "get_context", lambda how: context)
    (figure,) = figures(tmp_path)
    assert (figure.value, figure.unit, figure.state) == (peak / 1e9, "GB", state)
    assert figure.compared_with.startswith("1.00 GB once calibrated")


def test_as_many_images_as_asked_for_are_fitted_to(monkeypatch, tmp_path):
    seen = {}
    some = TensorDataset(torch.rand(5, 3, 8, 8), torch.zeros(5))
    monkeypatch.setattr(fitting_memory, "images", lambda name, data, count: some)
    monkeypatch.setattr(mj, "tune_allocator", lambda: True)
    monkeypatch.setattr(mj.zoo, "load", lambda name, data: nn.Sequential(nn.Conv2d(3, 2, 3)))
    monkeypatch.setattr(mj, "gptq", lambda network, data: seen.update(count=len(data)))
    before, peak = peak_bytes(tmp_path, 13)
    assert seen == {"count": 13}
    assert 0 < before <= peak
