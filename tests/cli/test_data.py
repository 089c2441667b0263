"""What a command line calls data."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import microjoule as mj
from microjoule.cli.data import Reading, find_both, find_data
from microjoule.cli.describe import Words
from microjoule.cli.models import Model, find_model
from microjoule.errors import DataError, DataWarning, FileError, SettingError
from tests.cli.conftest import MODEL
from tests.zoo.conftest import encoded, write_zip

PLAIN = Reading()


def model_of(channels=3, classes=2, card=None, size=8):
    """A network of images that was captured, as a command line has it."""
    made = nn.Sequential(nn.Conv2d(channels, classes, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Model("net", mj.capture(made, torch.rand(2, channels, size, size), card=card))


@pytest.fixture
def photos(tmp_path):
    """Six images of cats and two of dogs, black and white."""
    for name, value, count in (("cat", 0, 6), ("dog", 255, 2)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (10, 9), (value,) * 3).save(tmp_path / "photos" / name / f"{number}.png")
    return tmp_path / "photos"


def values(data):
    return torch.cat([inputs[0] for inputs, _ in data])


def labels(data):
    return torch.cat([targets for _, targets in data]).tolist()


# Arrays ---------------------------------------------------------------------------------------------------------------


def test_arrays_are_read_with_their_labels(tmp_path):
    path, x, y = tmp_path / "some.npz", np.arange(5 * 64, dtype=np.float32).reshape(5, 1, 8, 8), np.arange(5)
    np.savez(path, x=x, y=y)
    found = find_data(str(path), find_model(MODEL), PLAIN)
    assert found.labelled
    assert torch.equal(values(found), torch.from_numpy(x)[labels(found)])
    assert sorted(labels(found)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32])
def test_arrays_of_another_type_become_what_the_network_takes(dtype, tmp_path):
    path = tmp_path / "some.npz"
    np.savez(path, x=np.ones((5, 1, 8, 8), dtype))
    found = find_data(str(path), find_model(MODEL), PLAIN)
    assert (values(found).dtype, found.labelled) == (torch.float32, False)


def test_some_samples_of_arrays_hold_every_class(tmp_path):
    path = tmp_path / "some.npz"
    np.savez(path, x=np.zeros((90, 1, 8, 8), np.float32), y=np.repeat(np.arange(9), 10))
    found = find_data(str(path), find_model(MODEL), Reading(samples=9, seed=3))
    assert sorted(labels(found)) == list(range(9))
    assert (found.samples, found.name) == (9, "some.npz (9 of 90, seed 3)")
    assert labels(found) == labels(find_data(str(path), find_model(MODEL), Reading(samples=9, seed=3)))


def test_stored_images_are_prepared_as_the_card_says(tmp_path):
    path, card = tmp_path / "some.npz", mj.ModelCard(preprocessing=mj.Preprocessing((0.5,) * 3, (0.25,) * 3))
    stored = np.full((4, 3, 8, 8), 255, np.uint8)
    np.savez(path, x=stored, y=np.arange(4) % 2)
    assert torch.all(values(find_data(str(path), model_of(card=card), PLAIN)) == 2)
    found = find_data(str(path), model_of(), Reading(normalise="0.5 0.5"))
    assert torch.all(values(found) == 1)
    np.savez(path, x=stored)
    found = find_data(str(path), model_of(card=card), PLAIN)
    assert not found.labelled
    assert torch.all(values(found) == 2)
    with pytest.raises(SettingError, match="nothing tells how pixels become inputs"):
        find_data(str(path), model_of(), PLAIN)


def test_arrays_by_the_names_of_several_inputs(tmp_path):
    class Two(nn.Module):
        def forward(self, a, b):
            return a + b

    path, model = tmp_path / "some.npz", Model("two", mj.capture(Two(), (torch.ones(2, 3), torch.ones(2, 3))))
    np.savez(path, b=np.ones((5, 3)), a=np.zeros((5, 3)), y=np.arange(5))
    ((inputs, targets),) = find_data(str(path), model, PLAIN)
    assert (float(inputs[0].sum()), float(inputs[1].sum()), targets.tolist()) == (0, 15, [0, 1, 2, 3, 4])
    np.savez(path, x=np.ones((5, 3)))
    with pytest.raises(DataError, match="takes 2 tensors"):
        find_data(str(path), model, PLAIN)


@pytest.mark.slow
def test_a_file_without_x_or_that_is_missing_is_refused(tmp_path):
    path = tmp_path / "some.npz"
    np.savez(path, z=np.zeros(3))
    with pytest.raises((DataError, FileError), match=r"some\.npz"):
        list(find_data(str(path), find_model(MODEL), PLAIN))
    with pytest.raises((FileError, SettingError, DataError), match="nowhere"):
        find_data("nowhere.npz", find_model(MODEL), PLAIN)
    (tmp_path / "some.csv").write_text("1")
    with pytest.raises(FileError, match="is no data that microjoule reads"):
        find_data(str(tmp_path / "some.csv"), find_model(MODEL), PLAIN)


@pytest.mark.parametrize(
    ("x", "y", "words", "message"),
    [
        (np.zeros((3, 8, 8), np.uint8), None, Words(), r"inputs of shape \(8, 8\)"),
        (np.zeros((3, 1, 7, 7), np.float32), None, Words(), r"inputs of shape \(1, 7, 7\)"),
        (np.zeros((3, 1, 8, 8), np.float32), None, Words(normalise="unit"), "is for stored images"),
        (np.zeros((3, 3, 8, 8), np.uint8), np.full(3, 0.5), Words(normalise="unit"), "holds 0.5 among its labels"),
        (np.zeros((3, 1, 8, 8), np.uint8), np.arange(2), Words(), r"y of int64 \(2,\)"),
        (np.zeros((3, 1, 8, 8), complex), None, Words(), "holds x of complex128"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(x, y, words, message, tmp_path):
    np.savez(tmp_path / "some.npz", x=x, **({} if y is None else {"y": y}))
    with pytest.raises((DataError, SettingError), match=message):
        find_data(str(tmp_path / "some.npz"), model_of(), Reading(**asdict(words)))
    with pytest.raises(SettingError, match="--samples: is 0"):
        find_data(str(tmp_path / "some.npz"), find_model(MODEL), Reading(samples=0))


# Folders of images ----------------------------------------------------------------------------------------------------


def test_images_are_prepared_as_the_user_says_and_the_card_remembers(photos):
    model = model_of()
    found = find_data(str(photos), model, Reading(normalise="0.5 0.25", size="4"))
    assert values(found).shape == (8, 3, 4, 4)
    assert set(values(found).unique().tolist()) == {-2.0, 2.0}
    assert values(found)[:, 0, 0, 0].tolist() == [4.0 * label - 2 for label in labels(found)]
    assert model.network.card.preprocessing.size == (4, 4)
    again = find_data(str(photos), model, PLAIN)
    assert torch.equal(values(again), values(found))


def test_without_a_word_of_how_images_are_not_read(photos):
    with pytest.raises(SettingError, match="nothing tells how pixels become inputs"):
        find_data(str(photos), model_of(), PLAIN)


def test_some_images_of_a_sorted_folder_hold_every_class(photos):
    found = find_data(str(photos), model_of(), Reading(normalise="none", samples=4))
    assert sorted(labels(found)) == [0, 0, 1, 1]
    assert (found.name, found.samples) == ("photos (4 of 8, seed 0)", 4)
    _, inputs = find_both(
        str(photos), str(photos), model_of(), Reading(normalise="none", samples=4), calibration_samples=2
    )
    assert sorted(labels(inputs)) == [0, 1]
    assert len(labels(find_data(str(photos), model_of(), Reading(normalise="none")))) == 8


def test_a_class_list_gives_folders_their_numbers(photos, tmp_path):
    (tmp_path / "classes.txt").write_text("dog\ncat\n")
    model = model_of()
    found = find_data(str(photos), model, Reading(normalise="none", classes=tmp_path / "classes.txt"))
    assert sorted(labels(found)) == [0] * 2 + [1] * 6
    assert model.network.card.labels == ("dog", "cat")


def test_folders_whose_numbers_nothing_confirms_are_told(photos):
    reading = Reading(normalise="none")
    find_data(str(photos), model_of(classes=2), reading)
    with pytest.warns(DataWarning, match="has 2 class folders, numbered as their names are sorted, and the network 9"):
        find_data(str(photos), model_of(classes=9), reading)
    with pytest.warns(DataWarning, match="that the network's labels do not name"):
        find_data(str(photos), model_of(card=mj.ModelCard(labels=("cow", "horse"))), reading)


def test_folders_that_are_numbers_need_no_list(tmp_path):
    for name in ("3", "12"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name / "one.png")
    found = find_data(str(tmp_path), model_of(classes=20), Reading(normalise="none"))
    assert sorted(labels(found)) == [3, 12]


def test_images_alone_have_no_labels(photos):
    found = find_data(str(photos / "cat"), model_of(), Reading(normalise="none"))
    assert (found.labelled, values(found).shape) == (False, (6, 3, 8, 8))
    assert {targets for _, targets in found} == {None}


def test_images_for_a_network_of_something_else_are_refused(photos):
    with pytest.raises(DataError, match=r"holds images, and net takes \(5, 8, 8\)"):
        find_data(str(photos), model_of(channels=5), PLAIN)


# The zoo, and functions -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_set_of_the_zoo_is_drawn_from_all_over(quantized):
    some = find_data("zoo:digits_test", find_model(MODEL), Reading(samples=20))
    assert sorted(labels(some)) == sorted([*range(10)] * 2)
    assert some.name == "digits_test (20 of 540, seed 0)"
    assert find_data("zoo:digits_test", find_model(str(quantized)), PLAIN).samples == 540


def test_a_saved_network_of_the_zoo_knows_how_its_data_is_prepared(tmp_path):
    (tmp_path / "data").mkdir()
    np.savez(tmp_path / "data" / "test.npz", x=np.full((3, 8, 8), 16, np.uint8), y=np.zeros(3, np.uint8))
    network = find_model(MODEL).network
    network.save(tmp_path / "a.mj")
    found = find_data("zoo:data", find_model(str(tmp_path / "a.mj")), Reading(zoo_data=tmp_path))
    assert torch.all(values(found) == 1)


def test_a_function_gives_what_it_likes(tmp_path):
    (tmp_path / "data.py").write_text("import torch\ndef some(): return (torch.rand(7, 1, 8, 8), torch.arange(7))\n")
    found = find_data(f"{tmp_path / 'data.py'}:some", find_model(MODEL), Reading(samples=3))
    assert labels(found) == [0, 1, 2]


def test_a_set_of_another_size_is_refused_although_the_network_would_run(quantized, tmp_path):
    (tmp_path / "mnist").mkdir()
    np.savez(tmp_path / "mnist" / "test.npz", x=np.zeros((3, 28, 28), np.uint8), y=np.zeros(3, np.uint8))
    model = find_model(str(quantized))
    model.network.card = replace(model.network.card, name=None)
    with pytest.raises(DataError, match=r"inputs of shape \(1, 28, 28\), and the network takes \(1, 8, 8\)"):
        find_data("zoo:mnist", model, Reading(zoo_data=tmp_path))


def test_images_of_super_resolution_have_sizes_of_their_own(tmp_path):
    (tmp_path / "sr").mkdir()
    small, large = np.zeros((3, 5, 3), np.uint8), np.zeros((6, 10, 3), np.uint8)
    files = {"Set5/x2/a_HR.png": encoded(large), "Set5/x2/a_LR.png": encoded(small)}
    write_zip(tmp_path / "sr" / "sr_x2.zip", files)
    ((inputs, _),) = find_data("zoo:sr", find_model(MODEL), Reading(zoo_data=tmp_path))
    assert inputs[0].shape == (1, 1, 3, 5)
