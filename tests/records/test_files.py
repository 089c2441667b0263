import errno
import os
import stat

import pytest

from microjoule.errors import FileError
from microjoule.records.files import check_places, write_atomically


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("data", "content"), [(b"\x00\xff", b"\x00\xff"), ("grün", "grün".encode()), (b"", b"")])
def test_what_is_written_is_there_and_nothing_else(tmp_path, data, content):
    path = tmp_path / "x.bin"
    assert write_atomically(path, data) == path
    assert path.read_bytes() == content
    assert names(tmp_path) == ["x.bin"]


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "x"
    path.write_text("a much longer text")
    write_atomically(str(path), "short")
    assert path.read_text() == "short"


def test_the_permissions_are_those_of_any_new_file(tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("")
    path = write_atomically(tmp_path / "ours", "")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_a_link_is_followed(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "goal")
    write_atomically(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "goal").read_text() == "text"


def failing(code):
    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("step", ["fsync", "open"])
def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, step):
    path = tmp_path / "x"
    path.write_text("old")
    monkeypatch.setattr(os, step, failing(errno.ENOSPC))
    with pytest.raises(FileError, match=r"cannot be written: no space left on device\n  free some space"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["x"]


def test_no_permission_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "open", failing(errno.EACCES))
    with pytest.raises(FileError, match=r"x: cannot be written: permission denied\n  choose a folder that you may"):
        write_atomically(tmp_path / "x", "new")
    assert names(tmp_path) == []


def test_an_interruption_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupt(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "x", "new")
    assert names(tmp_path) == []


def test_a_missing_folder_is_said(tmp_path):
    with pytest.raises(FileError, match="no such file or directory\n  make the folder first"):
        write_atomically(tmp_path / "missing" / "x", "new")


def test_a_file_in_place_of_a_folder_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="parent is a folder"):
        write_atomically(tmp_path / "file" / "x", "new")


def test_a_folder_is_not_overwritten(tmp_path):
    with pytest.raises(FileError, match="is a folder\n  add a file name"):
        write_atomically(tmp_path, "new")


def test_a_device_is_not_replaced():
    with pytest.raises(FileError, match="is a device or a pipe"):
        write_atomically("/dev/null", "new")


@pytest.mark.parametrize("name", ["x" * 300, "a\0b"], ids=["too long", "null"])
def test_a_name_that_cannot_be_is_refused(tmp_path, name):
    with pytest.raises(FileError, match="cannot be written"):
        write_atomically(tmp_path / name, "new")


def test_the_longest_name_that_a_file_can_have_is_written(tmp_path):
    assert write_atomically(tmp_path / ("x" * 255), "new").read_text() == "new"


def test_text_that_utf8_cannot_hold_is_refused(tmp_path):
    with pytest.raises(FileError, match="cannot be written"):
        write_atomically(tmp_path / "x", "\ud800")
    assert names(tmp_path) == []


def test_places_are_looked_at_before_anything_is_written(tmp_path):
    check_places([None, tmp_path / "x.bin", str(tmp_path / "y")])
    assert names(tmp_path) == []
    with pytest.raises(FileError, match=r"no such file or directory\n.*make the folder first"):
        check_places([tmp_path / "x", tmp_path / "none" / "x"])
    with pytest.raises(FileError, match="is a folder"):
        check_places([tmp_path])


def test_a_place_that_no_system_has_is_seen_before_too(tmp_path):
    with pytest.raises(FileError, match="file name too long\n  choose a shorter name"):
        check_places([tmp_path / ("n" * 300)])
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="not a directory\n  choose a path whose parent is a folder"):
        check_places([tmp_path / "file" / "x"])
