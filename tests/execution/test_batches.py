import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import microjoule as mj
from microjoule.errors import DataError, SettingError
from microjoule.execution.batches import TOKEN, VALUES, batches, first, in_parts, rest, sample_count


class Squares(Dataset):
    """x -> x^2, with a name."""

    name = "squares"

    def __init__(self, count=7):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if index >= self.count:
            raise IndexError(index)
        return torch.tensor([float(index)]), index**2


class Collated(Squares):
    """The same, with a way of its own to make batches."""

    def collate(self, items):
        return torch.stack([x for x, _ in items]) + 100, [target for _, target in items]


def inputs_of(data):
    return torch.cat([inputs[0] for inputs, _ in data])


def targets_of(data):
    return [int(target) for _, targets in data for target in targets]


X = torch.arange(7.0).unsqueeze(1)
FORMS = {
    "tensor": X,
    "array": X.numpy(),
    "pair": (X, torch.arange(7) ** 2),
    "pair of arrays": (X.numpy(), np.arange(7) ** 2),
    "dataset": Squares(),
    "sequence": [*X.split(3)],
    "loader": DataLoader(Squares(), batch_size=2),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_inputs_each_time(form):
    data = batches(FORMS[form], batch_size=3)
    assert torch.equal(inputs_of(data), X)
    assert torch.equal(inputs_of(data), X)


@pytest.mark.parametrize("form", ["pair", "pair of arrays", "dataset", "loader"])
def test_labels_come_with_their_inputs(form):
    data = batches(FORMS[form])
    assert data.labelled
    assert targets_of(data) == [0, 1, 4, 9, 16, 25, 36]


def test_without_labels_there_are_no_targets():
    data = batches(X)
    assert not data.labelled
    assert [targets for _, targets in data] == [None]


@given(samples=st.integers(1, 20), size=st.integers(1, 25))
def test_every_sample_comes_once_and_only_the_last_batch_is_smaller(samples, size):
    x = torch.arange(samples).unsqueeze(1)
    sizes = [len(inputs[0]) for inputs, _ in batches(x, batch_size=size)]
    assert sum(sizes) == samples
    assert all(one == size for one in sizes[:-1])


@pytest.mark.parametrize(("form", "samples"), [("tensor", 7), ("pair", 7), ("dataset", 7), ("loader", None)])
def test_how_many_samples_there_are_is_said_where_it_is_known(form, samples):
    assert batches(FORMS[form]).samples == samples


def test_data_has_a_name():
    assert batches(Squares()).name == "squares"
    assert batches(X).name == "Tensor"
    assert batches(X, name="photographs").name == "photographs"


def test_batches_are_batches_already():
    data = batches(X)
    assert batches(data) is data


def test_a_dataset_may_make_its_batches_itself():
    assert torch.equal(inputs_of(batches(Collated())), X + 100)


def test_a_batch_of_several_inputs_is_a_tuple():
    (inputs, _), *_ = batches([(X, X + 1)])
    assert torch.equal(inputs[1], X + 1)


def test_float64_becomes_float32_and_integers_stay():
    assert inputs_of(batches(np.arange(3.0)[:, None])).dtype is torch.float32
    assert inputs_of(batches(np.arange(3)[:, None])).dtype is torch.int64


@pytest.mark.parametrize("layout", ["reversed", "read-only", "big endian", "strided"])
def test_an_array_may_lie_in_memory_as_it_likes(layout):
    array = np.arange(6, dtype=np.float32).reshape(3, 2)
    expected = array.copy()
    if layout == "reversed":
        array = array[:, ::-1]
        expected = array.copy()
    if layout == "read-only":
        array.setflags(write=False)
    if layout == "big endian":
        array = array.astype(">f4")
    if layout == "strided":
        array, expected = array[:, ::2], expected[:, ::2].copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_close(inputs_of(batches(array)), torch.from_numpy(expected))


@given(samples=st.integers(1, 12), size=st.integers(1, 5))
def test_the_first_samples_are_these_and_no_more(samples, size):
    data = first(batches((X, X), batch_size=size), samples)
    assert torch.equal(inputs_of(data), X[:samples])
    assert data.samples == min(samples, 7)
    assert all(len(inputs[0]) == len(targets) for inputs, targets in data)


@given(samples=st.integers(0, 6), size=st.integers(1, 5))
def test_the_rest_is_what_the_first_samples_leave(samples, size):
    data = rest(batches((X, X), batch_size=size), samples)
    assert torch.equal(inputs_of(data), X[samples:])
    assert data.samples == 7 - samples
    assert all(len(inputs[0]) == len(targets) for inputs, targets in data)
    assert torch.equal(inputs_of(rest(batches(list(X.split(size))), samples)), X[samples:])


def test_no_rest_is_said():
    with pytest.raises(DataError, match="holds no sample"):
        inputs_of(rest(batches(X), 7))


def test_no_batch_is_made_that_is_not_needed():
    made = []

    class Counting(Squares):
        def __getitem__(self, index):
            made.append(index)
            return super().__getitem__(index)

    list(first(batches(Counting(), batch_size=2), 3))
    assert made == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (torch.empty(0, 3), "holds no sample"),
        ((torch.empty(0, 3), torch.empty(0)), "holds no sample"),
        (Squares(0), "holds no sample"),
        ([], "holds no sample"),
        ((X, torch.arange(6)), "has 7 inputs and 6 targets"),
        (torch.tensor(1.0), "is a single number"),
        (np.array(["a", "b"]), "holds values of type <U1"),
        (3, "is no data that microjoule can read"),
        ("a text", "is no data that microjoule can read"),
        ((X, "a text"), "is no data that microjoule can read"),
        ({"x": X}, "is no data that microjoule can read"),
        (torch.nn.Linear(1, 1), "is no data that microjoule can read"),
    ],
    ids=["tensor", "pair", "dataset", "list", "uneven", "number", "texts", "int", "text", "odd pair", "dict", "module"],
)
def test_what_is_no_data_is_refused(data, words):
    with pytest.raises(DataError, match=words):
        batches(data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (torch.tensor([[1.0], [float("nan")]]), "NaN or infinite"),
        (torch.tensor([[1.0], [float("-inf")]]), "NaN or infinite"),
        (DataLoader(TensorDataset(X[:0], X[:0])), "holds no sample"),
        (["text"], "gives a str as input"),
        (DataLoader(TensorDataset(X), batch_size=2), "not a pair of inputs and targets"),
        (DataLoader(X, batch_size=2), "gives a Tensor, not a pair"),
    ],
    ids=["NaN", "infinity", "empty", "text", "inputs alone", "bare tensors"],
)
def test_what_turns_out_to_be_no_data_is_refused_when_it_is_read(data, words):
    with pytest.raises(DataError, match=words):
        list(batches(data))
    with pytest.raises(DataError, match=words):
        list(first(batches(data), 3))


def test_less_than_one_is_refused():
    with pytest.raises(SettingError, match="batch_size: is 0"):
        batches(X, batch_size=0)
    with pytest.raises(SettingError, match="samples: is 0"):
        first(batches(X), 0)


@pytest.mark.parametrize(("values", "sizes"), [(3, [3, 3, 1]), (7, [7]), (1, [1] * 7), (0, [1] * 7)])
def test_large_batches_come_in_parts(values, sizes):
    parts = list(in_parts(batches((X, X)), values))
    assert [len(inputs[0]) for inputs, _ in parts] == sizes
    assert_close(torch.cat([inputs[0] for inputs, _ in parts]), X)


def test_parts_hold_the_same_samples_of_all_tensors():
    parts = list(in_parts(batches([({"a": X, "b": X.expand(-1, 2)},)]), 6))
    assert [len(inputs[0]["a"]) for inputs, _ in parts] == [2, 2, 2, 1]
    assert_close(torch.cat([inputs[0]["b"] for inputs, _ in parts]), X.expand(-1, 2))


@pytest.mark.parametrize("other", [torch.ones(3), torch.tensor(1.0)])
def test_a_batch_stays_whole_where_a_tensor_is_not_of_samples(other):
    (inputs, _), *more = in_parts(batches([(X, other)]), 2)
    assert not more
    assert_close(inputs, (X, other))


class Numbers:
    def __len__(self):
        return 30

    def __getitem__(self, index):
        return torch.tensor([float(index)]), torch.tensor(index**2)


INPUTS = torch.arange(30.0)[:, None]


@pytest.mark.parametrize(
    "data", [INPUTS, (INPUTS, torch.arange(30) ** 2), Numbers()], ids=["inputs", "pairs", "dataset"]
)
def test_data_is_shuffled_anew_each_time_as_the_seed_says(data):
    def orders(seed):
        source = batches(data, batch_size=8, shuffle=torch.Generator().manual_seed(seed))
        return [[(x.flatten(), y) for (x,), y in source] for _ in range(2)]

    first, second = orders(1)
    flat = [torch.cat([x for x, _ in order]).int().tolist() for order in (first, second)]
    assert flat[0] != flat[1]
    assert all(sorted(order) == list(range(30)) for order in flat)
    assert [len(x) for x, _ in first] == [8, 8, 8, 6]
    assert all(y is None or torch.equal(x.long() ** 2, y) for x, y in first + second)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, orders(1)[0], strict=True))
    assert not all(torch.equal(a[0], b[0]) for a, b in zip(first, orders(2)[0], strict=True))


def test_what_comes_in_batches_keeps_its_order():
    given = [INPUTS[:20], INPUTS[20:]]
    shuffled = batches(given, shuffle=torch.Generator().manual_seed(0))
    assert all(torch.equal(x, y) for ((x,), _), y in zip(shuffled, given, strict=True))


@pytest.mark.parametrize("known", [True, False], ids=["known", "gone through"])
def test_samples_are_counted(known):
    data = torch.zeros(7, 2) if known else [torch.zeros(4, 2), torch.zeros(3, 2)]
    assert sample_count(batches(data)) == 7
    assert sample_count(first(batches(data), 5)) == 5


# For a network --------------------------------------------------------------------------------------------------------


class Images(nn.Module):
    """A convolution, for images (n, 1, 2, 2)."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 1)

    def forward(self, x):
        return self.conv(x).mean((2, 3))


NETWORK = mj.capture(Images(), torch.randn(2, 1, 2, 2))
PHOTOS, LABELS = torch.arange(28.0).reshape(7, 1, 2, 2), torch.arange(7) ** 2


class Streamed(IterableDataset):
    """Samples, one after another."""

    def __iter__(self):
        yield from zip(PHOTOS, LABELS, strict=True)


class Dicts(Dataset):
    """Samples as dicts, as data sets of transformers have them."""

    def __len__(self):
        return 7

    def __getitem__(self, index):
        return {"x": PHOTOS[index].tolist(), "label": int(LABELS[index])}


class Chunks:
    """A loader of one's own, which can be gone through again."""

    def __iter__(self):
        yield from zip(PHOTOS.split(3), LABELS.split(3), strict=True)


def generator():
    yield from zip(PHOTOS.split(3), LABELS.split(3), strict=True)


PAIRS = list(zip(PHOTOS, LABELS, strict=True))
KNOWN = {
    "pair": (PHOTOS, LABELS),
    "dict of arrays": {"x": PHOTOS, "y": LABELS},
    "nested pair": ((PHOTOS,), LABELS),
    "data set of pairs": TensorDataset(PHOTOS, LABELS),
    "data set of dicts": Dicts(),
    "data set of batches": [*Chunks()],
    "list of samples": PAIRS,
    "list of dicts": [{"x": x, "label": y} for x, y in Chunks()],
    "iterable data set": Streamed(),
    "loader": DataLoader(TensorDataset(PHOTOS, LABELS), 3),
    "loader of samples": DataLoader(Streamed(), batch_size=None),
    "loader of dicts": DataLoader([{"x": x, "label": y} for x, y in PAIRS], 2),
    "loader of one's own": Chunks(),
    "function": generator,
    "tuples": [(x, y, torch.ones(len(x))) for x, y in Chunks()],
}


@pytest.mark.parametrize("form", [*KNOWN, "iterator"])
def test_every_form_gives_a_network_the_same_inputs_each_time(form):
    data = batches(generator() if form == "iterator" else KNOWN[form], NETWORK)
    assert data.labelled
    for _ in range(2):
        found = list(data)
        assert torch.equal(torch.cat([x for (x,), _ in found]), PHOTOS)
        labels = [y[0] if isinstance(y, tuple) else y for _, y in found]
        assert torch.equal(torch.cat(labels), LABELS)


UNLABELLED = {
    "tensor": PHOTOS,
    "float64": PHOTOS.double(),
    "array": PHOTOS.numpy(),
    "one": (PHOTOS,),
    "dict": {"x": PHOTOS},
    "batches": [*PHOTOS.split(3)],
    "arrays": [part.numpy() for part in PHOTOS.split(3)],
    "samples": list(PHOTOS),
    "loader": DataLoader(TensorDataset(PHOTOS), 3),
    "bare loader": DataLoader(PHOTOS, 3),
}


@pytest.mark.parametrize("form", UNLABELLED)
def test_every_form_without_targets(form):
    found = list(batches(UNLABELLED[form], NETWORK))
    assert torch.equal(torch.cat([x for (x,), _ in found]), PHOTOS)
    assert {y for _, y in found} == {None}


@pytest.mark.parametrize("form", ["tensor", "array", "one", "dict", "batches", "samples"])
def test_it_is_known_beforehand_that_there_are_no_targets_where_it_can_be(form):
    assert not batches(UNLABELLED[form], NETWORK).labelled


def test_data_may_be_settled_before_the_network_is_known():
    for data in (*KNOWN.values(), *UNLABELLED.values()):
        if isinstance(data, dict) or (isinstance(data, tuple) and len(data) == 1) or data is KNOWN["nested pair"]:
            continue
        later = batches(batches(data, name="photos"), NETWORK)
        assert later.name == "photos"
        assert torch.equal(torch.cat([x for (x,), _ in later]), PHOTOS)
    bound = batches(PHOTOS, NETWORK)
    assert batches(bound, mj.capture(Images(), torch.randn(2, 1, 2, 2))) is bound


def test_an_iterator_is_kept_for_whoever_goes_through_it_later():
    data = batches(generator())
    for _ in range(2):
        assert torch.equal(torch.cat([x for (x,), _ in batches(data, NETWORK)]), PHOTOS)


def test_a_transform_makes_inputs_of_items():
    made = [{"image": x * 255, "name": f"{number}.png", "class": y} for number, (x, y) in enumerate(PAIRS)]

    def prepared(item):
        return item["image"] / 255, item["class"]

    for data in (made, Streamed(), TensorDataset(PHOTOS, LABELS), DataLoader(TensorDataset(PHOTOS, LABELS), 3)):
        transform = prepared if data is made else lambda item: (item[0] + 1, item[1] + 2)
        found = list(batches(data, NETWORK, transform=transform))
        shift = 0 if data is made else 1
        assert_close(torch.cat([x for (x,), _ in found]), PHOTOS + shift)
        assert torch.equal(torch.cat([y for _, y in found]), LABELS + 2 * shift)
    found = list(batches((PHOTOS, LABELS), NETWORK, batch_size=3, transform=lambda pair: (pair[0] + 1, pair[1])))
    assert [len(y) for _, y in found] == [3, 3, 1]
    assert_close(torch.cat([x for (x,), _ in found]), PHOTOS + 1)
    found = list(batches(PHOTOS, NETWORK, batch_size=3, transform=lambda x: x + 1))
    assert_close(torch.cat([x for (x,), _ in found]), PHOTOS + 1)


def test_the_targets_can_be_named():
    data = [{"x": x, "fine": y, "coarse": y + 1} for x, y in Chunks()]
    assert torch.equal(torch.cat([y for _, y in batches(data, NETWORK, targets="coarse")]), LABELS + 1)


class Sequences(Dataset):
    """Of other lengths."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.ones([3, 3, 5, 3][index], 2), index


def test_samples_of_other_lengths_go_in_batches_of_their_own():
    network = mj.capture(nn.Linear(2, 2), torch.ones(1, 4, 2))
    found = list(batches(Sequences(), network))
    assert [tuple(x.shape) for (x,), _ in found] == [(2, 3, 2), (1, 5, 2), (1, 3, 2)]
    assert torch.cat([y for _, y in found]).tolist() == [0, 1, 2, 3]


def test_samples_may_lie_along_another_dimension():
    network = mj.capture(nn.Linear(2, 2), torch.ones(4, 2, 2), batch_axis=1)
    x = torch.arange(56.0).reshape(4, 7, 2)
    for data in (
        x,
        (x, LABELS),
        TensorDataset(x.movedim(1, 0), LABELS),
        [(x[:, :3], LABELS[:3]), (x[:, 3:], LABELS[3:])],
    ):
        source = batches(data, network, batch_size=3)
        found = list(source)
        assert torch.equal(torch.cat([inputs[0] for inputs, _ in found], 1), x)
        assert sum(source.count(inputs) for inputs, _ in found) == 7
        some = [inputs[0] for inputs, _ in first(source, 4)]
        assert torch.equal(torch.cat(some, 1), x[:, :4])
        assert torch.equal(torch.cat([inputs[0] for inputs, _ in rest(source, 4)], 1), x[:, 4:])
        assert torch.equal(torch.cat([inputs[0] for inputs, _ in in_parts(source, 8)], 1), x)
        assert sample_count(source) == 7
    assert [len(y) for _, y in first(batches((x, LABELS), network, batch_size=3), 4)] == [3, 1]


def test_large_samples_go_in_small_batches_unless_the_size_is_said():
    network = mj.capture(nn.Linear(2, 2), torch.ones(1, VALUES // 6, 2))
    x = torch.zeros(7, VALUES // 6, 2)
    for data in (x, TensorDataset(x, LABELS), [x], DataLoader(TensorDataset(x), 7)):
        assert [len(inputs[0]) for inputs, _ in batches(data, network)] == [3, 3, 1]
    assert [len(inputs[0]) for inputs, _ in batches(x, network, batch_size=7)] == [7]
    assert [len(inputs[0]) for inputs, _ in batches([x], network, batch_size=2)] == [7]


def test_tokens_count_as_the_values_that_they_are_looked_up_as():
    network = mj.capture(nn.Embedding(9, 2), torch.zeros(2, VALUES // TOKEN // 3, dtype=torch.int64))
    data = torch.zeros(7, VALUES // TOKEN // 3, dtype=torch.int64)
    assert [len(inputs[0]) for inputs, _ in batches(data, network)] == [3, 3, 1]


def test_boxes_of_each_image_stay_together():
    class Boxes(Dataset):
        def __len__(self):
            return 5

        def __getitem__(self, index):
            return PHOTOS[index], torch.ones(index + 3, 4)

        @staticmethod
        def collate(samples):
            return torch.stack([x for x, _ in samples]), [boxes for _, boxes in samples]

    for number in (1, 4):
        found = [
            len(boxes) for _, several in first(batches(Boxes(), NETWORK, batch_size=2), number) for boxes in several
        ]
        assert found == [3, 4, 5, 6][:number]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ((PHOTOS, LABELS[:6]), "has 7 inputs and 6 targets"),
        ({"image": PHOTOS, "label": LABELS}, "gives a dict with the keys image, label"),
        ((PHOTOS, LABELS, LABELS[:6]), "targets"),
        ({}, "is no data that microjoule can read"),
        (b"text", "is no data that microjoule can read"),
    ],
)
def test_data_that_does_not_fit_the_network_is_refused(data, words):
    with pytest.raises(DataError, match=words):
        batches(data, NETWORK)


@pytest.mark.parametrize("data", [iter([]), lambda: iter([]), Streamed])
def test_nothing_in_it_is_said(data):
    with pytest.raises(DataError, match=r"holds no sample|is no data"):
        list(batches(data, NETWORK))
