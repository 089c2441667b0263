import os

import pytest

from microjoule.errors import FileError
from microjoule.formats.bounded_file import exists, is_folder, open_file, read_file, read_text


def test_a_file_is_read_whole(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert read_file(tmp_path / "a") == b"abc"
    assert read_file(str(tmp_path / "a"), most_bytes=3) == b"abc"
    with open_file(tmp_path / "a") as (file, size):
        assert (file.read(1), size) == (b"a", 3)
    assert file.closed


def test_a_larger_file_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "a").open("wb") as file:
        file.truncate(1 << 40)  # without blocks on the disk
    with pytest.raises(FileError, match="has 1,099,511,627,776 bytes, and 10 are the most"):
        read_file(tmp_path / "a", most_bytes=10)


@pytest.mark.parametrize(
    ("make", "fact"),
    [
        (lambda path: None, "cannot be read: no such file or directory"),
        (lambda path: path.mkdir(), "is a folder"),
        (os.mkfifo, "is a device or a pipe, not a file"),
        (lambda path: path.symlink_to(path), "cannot be read: too many levels of symbolic links"),
        (lambda path: path.symlink_to("/dev/zero"), "is a device or a pipe, not a file"),
    ],
)
def test_what_is_no_file_is_refused(tmp_path, make, fact):
    make(tmp_path / "a")
    with pytest.raises(FileError, match=rf"a: {fact}\n  "):
        read_file(tmp_path / "a")


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "a\ud800"])
def test_any_text_may_be_asked_for(tmp_path, name):
    with pytest.raises(FileError, match="cannot be read"):
        read_file(tmp_path / name)
    assert not exists(tmp_path / name)
    assert not is_folder(tmp_path / name)


def test_what_there_is(tmp_path):
    (tmp_path / "a").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert exists(tmp_path / "a")
    assert not is_folder(tmp_path / "a")
    assert is_folder(tmp_path)
    assert not exists(tmp_path / "loop")


def test_a_text_is_utf_8(tmp_path):
    (tmp_path / "a").write_text("größe", "utf-8")
    assert read_text(tmp_path / "a", remedy="mend it") == "größe"
    (tmp_path / "a").write_bytes(b"ok \xff")
    with pytest.raises(FileError, match=r"is no text in UTF-8 \(invalid start byte at byte 3\)\n  mend it"):
        read_text(tmp_path / "a", remedy="mend it")
