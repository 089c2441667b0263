"""The lock of a folder: one process at a time, by name; gone with its process; and a folder that cannot be locked."""

import json
import os
import socket

import pytest
from filelock import FileLock, Timeout

from microjoule.errors import FileError
from microjoule.jobs import lock
from microjoule.jobs.lock import LOCK, OWNER, FolderLock

HERE = socket.gethostname()


def test_a_second_one_is_refused_until_the_first_is_done(tmp_path):
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)
    first.take()
    with pytest.raises(FileError, match=rf"is in use by this process \({os.getpid()}\)\n  wait until that is done"):
        second.take()
    first.release()
    second.take()
    second.release()


def noted(folder, **note):
    (folder / OWNER).write_text(json.dumps(note))


@pytest.mark.parametrize(
    ("note", "told"),
    [
        ({"pid": os.getppid(), "host": HERE, "since": "noon"}, f"process {os.getppid()} on {HERE} since noon"),
        ({"pid": 3, "host": "far away", "since": "noon"}, "process 3 on far away since noon"),
        ({"pid": "3", "host": HERE}, "process 3"),
        ({"pid": 10**30, "host": HERE}, f"process {10**30}"),
        ({}, "another process"),
    ],
    ids=["here", "elsewhere", "text", "huge", "nothing"],
)
def test_who_has_it_is_told(tmp_path, note, told):
    other = FileLock(tmp_path / LOCK)
    other.acquire()
    noted(tmp_path, **note)
    with pytest.raises(FileError, match=f"is in use by {told}"):
        FolderLock(tmp_path).take()
    other.release()


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"[" * 4000, b"{}" + b" " * 5000])
def test_a_note_that_says_nothing_does_no_harm(tmp_path, content):
    other = FileLock(tmp_path / LOCK)
    other.acquire()
    (tmp_path / OWNER).write_bytes(content)
    with pytest.raises(FileError, match="is in use by another process"):
        FolderLock(tmp_path).take()
    other.release()
    FolderLock(tmp_path).take()


def ended():
    """The number of a process that there was."""
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    return child


def test_the_note_of_a_killed_process_does_not_block(tmp_path):
    noted(tmp_path, pid=ended(), host=HERE, since="noon")
    taken = FolderLock(tmp_path)
    taken.take()
    assert json.loads((tmp_path / OWNER).read_text())["pid"] == os.getpid()
    taken.release()


def test_a_lock_that_outlives_its_process_a_little_is_waited_for(tmp_path, monkeypatch):
    """As processes that a killed one had started may have it."""
    tries = []

    class Late:
        def __init__(self, path):
            self.path = path

        def acquire(self, *, blocking):
            tries.append(blocking)
            if len(tries) < 3:
                raise Timeout(str(self.path))

    monkeypatch.setattr(lock, "FileLock", Late)
    noted(tmp_path, pid=ended(), host=HERE, since="noon")
    FolderLock(tmp_path).take()
    assert tries == [False] * 3
    tries.clear()
    monkeypatch.setattr(lock, "PATIENCE_S", 0.0)
    noted(tmp_path, pid=ended(), host=HERE, since="noon")
    with pytest.raises(FileError, match="is in use by process"):
        FolderLock(tmp_path).take()


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path, monkeypatch):
    def refuse(_, *, blocking):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(lock.FileLock, "acquire", refuse)
    with pytest.raises(
        FileError, match=r"cannot be written to: Permission denied\n  choose a folder that you may write to"
    ):
        FolderLock(tmp_path).take()


def test_a_lock_without_its_note_is_given_back(tmp_path, monkeypatch):
    def full(*_):
        raise FileError("disk", "is full", remedy="free some space")

    monkeypatch.setattr(lock, "write_atomically", full)
    with pytest.raises(FileError, match="is full"):
        FolderLock(tmp_path).take()
    monkeypatch.undo()
    FolderLock(tmp_path).take()


def test_a_link_in_place_of_the_note_is_not_followed(tmp_path):
    (tmp_path / "precious").write_text("mine")
    (tmp_path / OWNER).symlink_to(tmp_path / "precious")
    FolderLock(tmp_path).take()
    assert (tmp_path / "precious").read_text() == "mine"
