import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import microjoule as mj
from microjoule.errors import DataError
from microjoule.execution.binding import Batch
from microjoule.execution.collating import Once, collated, resized, stacked_at
from microjoule.execution.signature import Signature

SIGNATURE = Signature.of(mj.capture(nn.Linear(4, 3), torch.randn(2, 4)))
X = torch.arange(40.0).reshape(10, 4)


def test_samples_are_stacked():
    (batch,) = collated([(X[0], 1), (X[1], 2)], "data")
    assert torch.equal(batch[0], X[:2])
    assert batch[1].tolist() == [1, 2]


def test_arrays_and_lists_of_numbers_are_stacked_too():
    sample = {"ids": [1, 2, 3], "image": np.ones(2, ">f4"), "label": np.int64(3), "name": "a"}
    (batch,) = collated([sample, sample], "data")
    assert batch["ids"].tolist() == [[1, 2, 3]] * 2
    assert batch["image"].shape == (2, 2)
    assert batch["label"].tolist() == [3, 3]
    assert batch["name"] == ["a", "a"]


def test_samples_of_another_shape_begin_another_batch():
    samples = [torch.ones(3), torch.ones(3), torch.ones(5), torch.ones(3)]
    assert [tuple(batch.shape) for batch in collated(samples, "data")] == [(2, 3), (1, 5), (1, 3)]


def test_a_data_set_may_make_its_batches_itself():
    assert list(collated([1, 2], "data", lambda samples: ("made", samples))) == [("made", [1, 2])]


@pytest.mark.parametrize("sample", [(X[0], None), (X[0], object()), object()])
def test_samples_that_cannot_be_stacked_are_refused(sample):
    with pytest.raises(DataError, match="samples that cannot be one batch"):
        list(collated([sample, sample], "data"))


def test_stacked_samples_move_to_where_the_network_has_them():
    assert stacked_at((torch.ones(5, 7, 4), torch.ones(5)), 1)[0].shape == (7, 5, 4)


def cut(sizes, size, *, exactly):
    parts = X.split(sizes)
    targets = torch.arange(10).split(sizes)
    source = [Batch((x,), y) for x, y in zip(parts, targets, strict=True)]
    return list(resized(source, SIGNATURE, size, exactly=exactly))


@given(
    sizes=st.lists(st.integers(1, 10), min_size=1)
    .map(lambda some: [*some[:3], 10 - sum(some[:3])])
    .filter(lambda some: some[-1] >= 0),
    size=st.integers(1, 12),
    exactly=st.booleans(),
)
def test_batches_of_another_size_hold_the_same_samples(sizes, size, exactly):
    found = cut(sizes, size, exactly=exactly)
    assert torch.equal(torch.cat([batch.inputs[0] for batch in found]), X)
    assert torch.equal(torch.cat([batch.targets for batch in found]), torch.arange(10))
    counts = [len(batch.targets) for batch in found]
    assert all(0 < count <= size for count in counts)
    if exactly:
        assert all(count == size for count in counts[:-1])


def test_small_batches_stay_where_they_need_not_be_joined():
    assert [len(batch.targets) for batch in cut([2, 5, 3], 4, exactly=False)] == [2, 4, 1, 3]
    assert [len(batch.targets) for batch in cut([2, 5, 3], 4, exactly=True)] == [4, 4, 2]


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ((["a"], ["b", "c"]), ["a", "b", "c"]),
        (({"y": [1]}, {"y": [2, 3]}), {"y": [1, 2, 3]}),
        ((([1], [2]), ([3, 4], [5, 6])), ([1, 3, 4], [2, 5, 6])),
        ((None, None), None),
    ],
)
def test_targets_of_any_form_are_joined(targets, expected):
    source = [Batch((X[:1],), targets[0]), Batch((X[1:3],), targets[1])]
    (found,) = resized(source, SIGNATURE, 3, exactly=True)
    assert found.targets == expected


# Iterators ------------------------------------------------------------------------------------------------------------


def test_an_iterator_can_be_gone_through_again():
    made = []

    def items():
        for number in range(3):
            made.append(number)
            yield {"x": X[number], "name": str(number), "array": np.ones(2)}

    once = Once(items(), "data")
    beginning = iter(once)
    assert next(beginning)["name"] == "0"
    assert made == [0]
    for _ in range(2):
        assert [item["name"] for item in once] == ["0", "1", "2"]
        assert all(torch.equal(item["x"], X[number]) for number, item in enumerate(once))
    assert [item["name"] for item in beginning] == ["1", "2"]
    assert made == [0, 1, 2]
    assert isinstance(next(iter(once))["array"], np.ndarray)


def test_more_than_can_be_kept_is_refused():
    endless = Once(iter(lambda: torch.ones(100), None), "noise", limit_bytes=1000)
    with pytest.raises(DataError, match="noise: is an iterator that can be gone through once, and gives more than"):
        list(endless)


def test_what_is_kept_lies_on_disk_beyond_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("microjoule.execution.store.Store.__init__.__defaults__", (0,))
    once = Once(iter([X, X.numpy() + 1]), "data")
    found = list(once)
    assert len(list(tmp_path.glob("*/*.npy"))) == 2
    assert torch.equal(found[0], X)
    assert np.array_equal(found[1], X.numpy() + 1)
