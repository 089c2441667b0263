"""Reading zips, images and parts of folders."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from microjoule.errors import DataError, FileError
from microjoule.zoo.folders import MOST_BYTES, Archive, part_of, read_arrays, set_folder
from tests.zoo.conftest import write_zip


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


def patched(path: Path, offset: int, value: int) -> None:
    """Both headers of the only member get another number."""
    content = bytearray(path.read_bytes())
    central = content.find(b"PK\x01\x02")
    content[offset] = content[central + offset + 2] = value
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("offset", "value"), [(6, 1), (8, 99), (40, 0)], ids=["encrypted", "unknown packing", "damaged"]
)
def test_a_member_that_cannot_be_read_is_named(tmp_path: Path, offset: int, value: int) -> None:
    write_zip(tmp_path / "a.zip", {"1.txt": b"one" * 1000})
    patched(tmp_path / "a.zip", offset, value)
    with pytest.raises(DataError, match=r"a\.zip/1\.txt: cannot be read"):
        Archive(tmp_path / "a.zip").read("1.txt")


def test_a_member_that_unpacks_to_more_than_any_image_is_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.png", bytes(MOST_BYTES + 1))
    with pytest.raises(DataError, match="it unpacks to 67,108,865 bytes"):
        Archive(tmp_path / "a.zip").read("1.png")


def test_a_damaged_npz_file_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.array([{}]))
    with pytest.raises(DataError, match=r"a\.npz: is not a sound npz file \(the array 'x': holds values"):
        read_arrays(tmp_path / "a.npz")


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
