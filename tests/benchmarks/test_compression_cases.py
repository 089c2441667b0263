"""Which images a recipe may look at: none that judges, drawn by chance, always the same."""

import pytest
import torch
from torch.utils.data import TensorDataset

import microjoule as mj
from benchmarks import compression_cases
from benchmarks.compression_cases import RESNET20, SCORED, SQUEEZENET, case
from benchmarks.subjects import Subject


@pytest.mark.parametrize(("name", "part", "count"), [(RESNET20, "/train", 1000), (SQUEEZENET, "", 500)])
def test_images_are_drawn_from_another_set(monkeypatch, tmp_path, name, part, count):
    total, asked = 1500 if part else 500, []
    others = TensorDataset(torch.arange(total)[:, None].float(), torch.arange(total))

    def dataset(folder, **_):
        asked.append(folder)
        return others

    def subject(name, data, *, samples, part=""):
        asked.append(samples + part)
        return Subject(None, ["judge"], None, (0.0, 1.0), name)

    monkeypatch.setattr(mj.zoo, "dataset", dataset)
    monkeypatch.setattr(compression_cases, "subject", subject)
    monkeypatch.setattr(compression_cases, "folder", lambda data, beginning: beginning)
    given, again, other = case(name, tmp_path), case(name, tmp_path), case(name, tmp_path, 1)
    scored, looked = asked[:2]
    assert (scored, looked) == (
        ("cifar10_jpeg/test", f"cifar10_jpeg{part}") if part else ("imagenet_val650", "imagenet_sample500")
    )
    assert given.images.inputs.shape == (count, 1)
    assert len(set(given.images.labels.tolist())) == count
    assert given.images.labels.tolist() != sorted(given.images.labels.tolist())
    assert torch.equal(given.images.inputs[:, 0], given.images.labels.float())
    assert torch.equal(given.images.labels, again.images.labels)
    assert not torch.equal(given.images.labels, other.images.labels)
    assert given.images.scored == SCORED[name]
    assert given.judges == ["judge"]
