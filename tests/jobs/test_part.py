"""Parts: back as they were written, and never taken when any bit, the name or the run is another."""

import os

import pytest
import torch

from microjoule.errors import FileError
from microjoule.jobs.part import (
    DamagedError,
    Part,
    check_file,
    checksum,
    read_bytes,
    read_part,
    without_link,
    write_part,
)

TENSORS = {
    "weight": torch.arange(6.0).reshape(2, 3),
    "integers": torch.tensor([-4, 3], dtype=torch.int32),
    "scale": torch.tensor(0.5, dtype=torch.float64),
    "none": torch.zeros(0, 3),
    "half": torch.ones(3, dtype=torch.bfloat16),
    "flags": torch.tensor([True, False]),
}
HOW = {"run": "a run", "name": "a part"}


def read(path, *, limit_bytes=10_000, **how):
    return read_part(path, limit_bytes=limit_bytes, **{**HOW, **how})


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "part.safetensors"
    write_part(path, Part(TENSORS, "ein Text: ä"), **HOW)
    return path


def test_a_part_comes_back_as_it_was(path):
    back = read(path)
    assert back.text == "ein Text: ä"
    assert back.tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert torch.equal(back.tensors[name], tensor)
        assert back.tensors[name].dtype == tensor.dtype


def test_tensors_may_share_memory_and_lie_in_any_order(tmp_path):
    whole = torch.arange(12.0).reshape(3, 4)
    parts = {"whole": whole, "same": whole, "row": whole[1], "turned": whole.t()}
    write_part(tmp_path / "part", Part(parts), **HOW)
    back = read(tmp_path / "part").tensors
    assert all(torch.equal(back[name], tensor) for name, tensor in parts.items())


def test_there_may_be_none(tmp_path):
    assert read(tmp_path / "part") is None
    write_part(tmp_path / "part", Part(text="alone"), **HOW)
    assert read(tmp_path / "part") == Part({}, "alone")


def test_no_flipped_bit_is_taken(path):
    """Some bits of the header change nothing that is held, such as those of a space; all others are noticed."""
    content, noticed = path.read_bytes(), 0
    places = range(0, 8 * len(content), 17)
    for at in places:
        changed = bytearray(content)
        changed[at // 8] ^= 1 << at % 8
        path.write_bytes(changed)
        try:
            back = read(path)
        except DamagedError:
            noticed += 1
        else:
            assert back.text == "ein Text: ä"
            assert all(torch.equal(back.tensors[name], tensor) for name, tensor in TENSORS.items())
    assert noticed > 0.95 * len(places)


@pytest.mark.parametrize("length", [0, 7, 8, 100, -1])
def test_a_part_that_was_cut_or_made_longer_is_damaged(path, length):
    content = path.read_bytes()
    path.write_bytes(content[:length] if length >= 0 else content + b"\0")
    with pytest.raises(DamagedError):
        read(path)


@pytest.mark.parametrize("other", [{"run": "another run"}, {"name": "another part"}])
def test_another_parts_or_runs_file_is_not_taken(path, other):
    with pytest.raises(DamagedError, match="its checksum does not fit"):
        read(path, **other)


def test_a_file_without_a_checksum_is_not_taken(tmp_path):
    from_others = tmp_path / "part"
    from_others.write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    with pytest.raises(DamagedError, match="checksum"):
        read(from_others)


def test_a_larger_file_is_not_read(path, monkeypatch):
    monkeypatch.setattr("microjoule.jobs.part.safe_open", None)
    with pytest.raises(DamagedError, match=r"it has [\d,]+ bytes, where there can be 100 at most"):
        read(path, limit_bytes=100)


def test_what_is_no_file_is_damaged_and_never_waited_for(tmp_path, path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(path)
    for name in ("pipe", "link", "."):
        with pytest.raises(DamagedError, match="it is a link, a folder or a device"):
            read(tmp_path / name)


def test_a_link_is_replaced_and_what_it_points_to_stays(tmp_path, path):
    (tmp_path / "precious").write_text("mine")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "precious")
    write_part(link, Part(text="b"), **HOW)
    assert (tmp_path / "precious").read_text() == "mine"
    assert read(link).text == "b"
    assert without_link(path) == path
    assert path.exists()


def test_a_file_that_cannot_be_read_or_written_is_told(tmp_path, path, monkeypatch):
    with pytest.raises(FileError, match="cannot be written"):
        write_part(tmp_path / "no folder" / "part", Part(), **HOW)

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("microjoule.jobs.part.safe_open", refuse)
    with pytest.raises(FileError, match=r"cannot be read: .*Permission denied"):
        read(path)


def test_the_checksum_is_over_all_that_is_held():
    whole = checksum(Part(TENSORS, "a"), **HOW)
    others = [
        Part(TENSORS, "b"),
        Part({**TENSORS, "flags": torch.tensor([True, True])}, "a"),
        Part({**TENSORS, "scale": torch.tensor([0.5], dtype=torch.float64)}, "a"),
        Part({name.upper(): tensor for name, tensor in TENSORS.items()}, "a"),
        Part({**TENSORS, "more": torch.zeros(0)}, "a"),
    ]
    assert len({whole, *(checksum(other, **HOW) for other in others)}) == 6
    assert checksum(Part(dict(reversed(TENSORS.items())), "a"), **HOW) == whole


def test_a_small_file_is_read_whole_and_a_large_one_not(tmp_path):
    (tmp_path / "file").write_bytes(b"four")
    assert read_bytes(tmp_path / "file", 4) == b"four"
    check_file(tmp_path / "file", 4)
    with pytest.raises(DamagedError, match="it has 4 bytes"):
        read_bytes(tmp_path / "file", 3)
