"""Data sets by name: which folder, which layout, which preprocessing."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from microjoule import zoo
from microjoule.errors import DataError, FileError, SettingError


def test_the_middle_of_a_picture_is_what_a_network_sees(root: Path) -> None:
    image, label = zoo.dataset("pictures", "mobilenet_v2_1.0_224_tf", data=root)[0]
    stored = (np.arange(227 * 227 * 3).reshape(227, 227, 3) % 251)[1:225, 1:225]
    expected = torch.from_numpy(stored).permute(2, 0, 1).float() / 127.5 - 1
    torch.testing.assert_close(image, expected)
    assert label.item() == 7


def test_each_model_has_a_preprocessing_of_its_own(root: Path) -> None:
    tensorflow = zoo.dataset("pictures", "mobilenet_v2_1.0_224_tf", data=root)[0][0]
    torchvision = zoo.dataset("pictures", "squeezenet1_1", data=root)[0][0]
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = ((tensorflow + 1) / 2 - mean[:, None, None]) / std[:, None, None]
    torch.testing.assert_close(torchvision, expected, rtol=0, atol=1e-5)


def test_a_broken_picture_is_named(root: Path) -> None:
    pictures = zoo.dataset("pictures", "squeezenet1_1", data=root)
    with pytest.raises(DataError, match=r"broken\.png: is not a sound image"):
        pictures[1]


def test_a_picture_that_is_not_in_the_zip_is_named(root: Path) -> None:
    (root / "pictures" / "labels.csv").write_text("file,label\nmissing.png,0\n")
    with pytest.raises(DataError, match=r"missing\.png: is in labels\.csv but not in the zip"):
        zoo.dataset("pictures", "squeezenet1_1", data=root)


@pytest.mark.parametrize("table", ["picture,label\na.png,7\n", "file,label\na.png,cat\n"])
def test_a_table_with_other_columns_is_refused(root: Path, table: str) -> None:
    (root / "pictures" / "labels.csv").write_text(table)
    with pytest.raises(DataError, match=r"labels\.csv: needs the columns file and label"):
        zoo.dataset("pictures", "squeezenet1_1", data=root)


def test_an_empty_table_is_refused(root: Path) -> None:
    (root / "pictures" / "labels.csv").write_text("file,label\n")
    with pytest.raises(DataError, match="pictures: holds no samples"):
        zoo.dataset("pictures", "squeezenet1_1", data=root)


def test_colour_pictures_need_a_model(root: Path) -> None:
    with pytest.raises(SettingError, match=r"model=\.\.\."):
        zoo.dataset("pictures", data=root)


def test_the_test_part_is_taken_if_none_is_named(root: Path) -> None:
    test, train = zoo.dataset("grey", data=root), zoo.dataset("grey/train", data=root)
    assert (len(test), len(train)) == (3, 5)
    assert (test.name, train.name) == ("grey/test_few", "grey/train_few")
    torch.testing.assert_close(test[0][0], torch.full((1, 8, 8), 0.2))


def test_a_limit_takes_the_first(root: Path) -> None:
    assert [int(label) for _, label in zoo.dataset("grey", data=root, limit=2)] == [0, 1]


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_takes_at_least_one(root: Path, limit: int) -> None:
    with pytest.raises(SettingError, match="ask for at least one sample"):
        zoo.dataset("grey", data=root, limit=limit)


def test_images_of_another_size_than_the_model_takes_are_refused(root: Path) -> None:
    with pytest.raises(DataError, match=r"has samples of shape \(1, 8, 8\), kws_dscnn takes \(1, 49, 10\)"):
        zoo.dataset("grey", "kws_dscnn", data=root)


def test_labels_must_be_as_many_as_samples(root: Path) -> None:
    np.savez(root / "grey" / "test_few.npz", x=np.zeros((3, 8, 8), np.uint8), y=np.zeros(2))
    with pytest.raises(DataError, match=r"has 3 samples and labels of shape \(2,\)"):
        zoo.dataset("grey", data=root)


def test_arrays_of_no_known_layout_are_refused(root: Path) -> None:
    np.savez(root / "grey" / "test_few.npz", pictures=np.zeros((3, 8, 8)))
    with pytest.raises(DataError, match=r"holds \{'pictures': \(3, 8, 8\)\}"):
        zoo.dataset("grey", data=root)


def test_a_damaged_npz_is_named(root: Path) -> None:
    (root / "grey" / "test_few.npz").write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"test_few\.npz: is not a sound npz file"):
        zoo.dataset("grey", data=root)


def test_objects_in_an_npz_are_not_unpickled(root: Path) -> None:
    np.savez(root / "grey" / "test_few.npz", x=np.array([{"a": 1}], dtype=object), y=np.zeros(1))
    with pytest.raises(DataError, match="is not a sound npz file"):
        zoo.dataset("grey", data=root)


def test_an_unknown_set_names_those_there_are(root: Path) -> None:
    (root / "notes").mkdir()
    (root / "sound").mkdir()
    np.savez(root / "sound" / "test.npz", audio=np.zeros(3), label=np.zeros(1))
    (root / "damaged").mkdir()
    (root / "damaged" / "test.npz").write_bytes(b"damaged")
    with pytest.raises(FileError, match=r"choose one of digits_train, digits_test, coco, grey, pictures$"):
        zoo.dataset("imagenet", data=root)


def test_an_unknown_part_names_those_there_are(root: Path) -> None:
    with pytest.raises(FileError, match="choose one of its parts: test_few, train_few"):
        zoo.dataset("grey/validation", data=root)


def test_a_folder_without_any_layout_is_refused(root: Path) -> None:
    (root / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: holds no images\.zip"):
        zoo.dataset("empty", data=root)


def test_a_file_that_its_manifest_does_not_describe_is_refused(root: Path) -> None:
    manifest = {"files_sha256": {"test_few.npz": {"sha256": "0" * 64}}}
    (root / "grey" / "MANIFEST.json").write_text(json.dumps(manifest))
    with pytest.raises(FileError, match=r"test_few\.npz: has the checksum .*, MANIFEST\.json says 0000"):
        zoo.dataset("grey", data=root)


def test_the_data_folder_is_found_by_its_variable(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROJOULE_DATA", str(root))
    assert len(zoo.dataset("grey")) == 3


def test_a_missing_data_folder_says_how_to_give_one(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"there is no such data folder\n.*MICROJOULE_DATA"):
        zoo.dataset("grey", data=tmp_path / "nowhere")
