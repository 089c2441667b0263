"""Folders of images."""

import pytest
import torch
from PIL import Image

from microjoule.cli.image_folder import found_in, image_folder
from microjoule.errors import DataError
from microjoule.formats.images import decode_image
from microjoule.graph.preprocessing import Preprocessing

GREY = Preprocessing((0.0,), (1.0,), colours="L")
RGB = Preprocessing((0.0,) * 3, (1 / 255,) * 3)


def images(folder, how=GREY, size=(4, 4), labels=()):
    return image_folder(folder, found_in(folder, labels), how, size)


@pytest.fixture
def pets(tmp_path):
    for name, grey in (("cat", 0), ("dog", 255)):
        (tmp_path / name).mkdir()
        Image.new("L", (10, 6), grey).save(tmp_path / name / "one.png")
    (tmp_path / ".hidden").mkdir()
    return tmp_path


def test_subfolders_are_classes_in_the_order_of_their_names_and_images_are_cut_to_size(pets):
    found = images(pets)
    (first, one), (second, other) = found[0], found[1]
    assert first.shape == (1, 4, 4)
    assert (first.max(), second.min()) == (0, 1)
    assert (int(one), int(other)) == (0, 1)
    assert found.labels == [0, 1]


def test_a_class_list_tells_the_numbers(pets):
    found = found_in(pets, ("dog", "bird", "cat"))
    assert (found.labels, found.names, found.listed) == ((2, 0), {2: "cat", 0: "dog"}, True)
    assert found_in(pets, ("cow",)).labels == (0, 1)
    assert not found_in(pets, ("cow",)).listed


def test_folders_may_be_numbers_and_empty_ones_count(tmp_path):
    for name in ("10", "9", "2"):
        (tmp_path / name).mkdir()
        Image.new("L", (4, 4)).save(tmp_path / name / "one.png")
    assert sorted(found_in(tmp_path).labels) == [2, 9, 10]
    (tmp_path / "empty").mkdir()
    assert sorted(found_in(tmp_path).labels) == [2, 9, 10]
    other = tmp_path / "other"
    for name in ("a", "b", "c"):
        (other / name).mkdir(parents=True)
    Image.new("L", (4, 4)).save(other / "c" / "one.png")
    assert found_in(other).labels == (2,)


def test_images_without_folders_have_no_labels(tmp_path):
    Image.new("RGB", (5, 5)).save(tmp_path / "one.png")
    found = images(tmp_path, RGB, (5, 5))
    assert (found.labels, len(found)) == (None, 1)
    assert found[0].shape == (3, 5, 5)


def striped(path):
    """An image of 8 x 16 whose columns have the values of their numbers."""
    image = Image.new("L", (16, 8))
    image.putdata([column for _ in range(8) for column in range(16)])
    image.save(path / "one.png")
    return path


@pytest.mark.parametrize(
    ("resize", "columns"), [(None, [4, 11]), (8, [6, 9]), (4, [5, 10])], ids=["just covering", "larger", "smaller"]
)
def test_the_shorter_side_is_brought_to_a_size_before_the_middle_is_cut_out(resize, columns, tmp_path):
    how = Preprocessing((0.0,), (1 / 255,), resize=resize, interpolation="nearest", colours="L")
    size = (4, 4)
    found = images(striped(tmp_path), how, size)[0][0, 0]
    assert torch.all(found[1:] >= found[:-1])
    low, high = columns
    assert abs(float(found[0]) - low) <= 1.5
    assert abs(float(found[-1]) - high) <= 1.5


def test_blue_may_come_first_and_channels_last(tmp_path):
    Image.new("RGB", (4, 4), (255, 0, 51)).save(tmp_path / "one.png")
    how = Preprocessing((0.0,) * 3, (1.0,) * 3, colours="BGR", layout="NHWC")
    assert images(tmp_path, how)[0].shape == (4, 4, 3)
    torch.testing.assert_close(images(tmp_path, how)[0][0, 0], torch.tensor([0.2, 0.0, 1.0]))


def test_a_folder_without_images_and_a_file_that_is_none_are_refused(tmp_path):
    with pytest.raises(DataError, match="holds no image"):
        found_in(tmp_path)
    (tmp_path / "one.png").write_bytes(b"text")
    with pytest.raises(DataError, match=r"one\.png"):
        images(tmp_path)[0]


def test_images_that_are_read_again_are_decoded_once_as_far_as_there_is_room(pets, monkeypatch):
    read = []

    def counted(encoded, place, mode, **settings):
        read.append(place)
        return decode_image(encoded, place, mode, **settings)

    monkeypatch.setattr("microjoule.cli.image_folder.decode_image", counted)
    found = images(pets)
    for _ in range(2):
        assert [int(found[index][1]) for index in range(2)] == [0, 1]
    assert len(read) == 2
    monkeypatch.setattr("microjoule.zoo.image_sets.KEPT_BYTES", 16)
    found = images(pets)
    for _ in range(2):
        assert [int(found[index][1]) for index in range(2)] == [0, 1]
    assert len(read) == 2 + 3
