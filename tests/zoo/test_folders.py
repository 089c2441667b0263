"""Reading zips, images and parts of folders."""

from pathlib import Path

import numpy as np
import pytest

from microjoule.errors import DataError, FileError
from microjoule.zoo.folders import Archive, decoded, part_of, read_arrays, set_folder
from tests.zoo.conftest import encoded, write_zip


def test_an_archive_lists_its_files_in_order_and_reads_them(tmp_path: Path) -> None:
    write_zip(tmp_path / "a.zip", {"b/": b"", "b/2.txt": b"two", "1.txt": b"one"})
    archive = Archive(tmp_path / "a.zip")
    assert archive.names() == ["1.txt", "b/2.txt"]
    assert archive.read("b/2.txt") == b"two"


def test_a_file_that_is_not_in_the_archive_is_named(tmp_path: Path) -> None:
    write_zip(tmp_path / "a.zip", {"1.txt": b"one"})
    with pytest.raises(DataError, match=r"a\.zip/2\.txt: cannot be read"):
        Archive(tmp_path / "a.zip").read("2.txt")


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"a\.zip: is not a zip file"):
        Archive(tmp_path / "a.zip").names()


def test_a_missing_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"a\.zip: there is no such file"):
        Archive(tmp_path / "a.zip").names()


def test_an_image_that_is_cut_off_is_named() -> None:
    whole = encoded(np.zeros((64, 64, 3), np.uint8), "JPEG")
    with pytest.raises(DataError, match="half: is not a sound image"):
        decoded(whole[: len(whole) // 2], "half")


@pytest.mark.parametrize(("mode", "expected"), [("RGB", "RGB"), ("L", "L"), ("", "L")])
def test_an_image_comes_in_the_mode_asked_for(mode: str, expected: str) -> None:
    assert decoded(encoded(np.zeros((2, 2), np.uint8)), "grey", mode).mode == expected


def test_arrays_come_back(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.arange(3))
    assert read_arrays(tmp_path / "a.npz")["x"].tolist() == [0, 1, 2]


def test_a_folder_goes_before_a_part_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert set_folder(tmp_path, "a/b") == (tmp_path / "a" / "b", None)
    assert set_folder(tmp_path, "a/c") == (tmp_path / "a", "c")


def test_a_single_file_is_the_part_if_none_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "half.npz", x=np.arange(3))
    assert part_of(tmp_path, None) == tmp_path / "half.npz"
