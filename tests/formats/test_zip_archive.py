import io
import struct
import warnings
import zipfile
import zlib

import pytest

from microjoule.errors import FileError
from microjoule.formats import zip_archive
from microjoule.formats.zip_archive import open_zip, zip_in

MEMBERS = {"a/x.json": b'{"a": 1}' * 50, "a/y": bytes(range(256)), "größe": b"", "a/z": b"z"}
LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


def zipped(members=MEMBERS, how=zipfile.ZIP_STORED, **settings):
    buffer = io.BytesIO()
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(buffer, "w", how, **settings) as archive:
        for name, content in members.items() if isinstance(members, dict) else members:
            archive.writestr(name, content)
    return bytearray(buffer.getvalue())


def opened(content, **limits):
    return zip_in(io.BytesIO(content), len(content), "here", remedy="mend it", **limits)


def read(content, **limits):
    archive = opened(content, **limits)
    return {name: bytes(archive.read(name)) for name in archive.members}


@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_are_those_that_were_written(tmp_path, how):
    assert read(zipped(how=how)) == MEMBERS
    (tmp_path / "x.zip").write_bytes(zipped(how=how))
    with open_zip(tmp_path / "x.zip", remedy="mend it") as archive:
        assert bytes(archive.read("a/y")) == MEMBERS["a/y"]


def test_archives_of_other_writers_are_read():
    """Sizes after the content, records for large archives, comments, folders."""

    class Unseekable(io.RawIOBase):
        def __init__(self):
            self.content = bytearray()

        def writable(self):
            return True

        def write(self, data):
            self.content += data
            return len(data)

    target = Unseekable()
    with zipfile.ZipFile(target, "w") as archive:
        with archive.open("large", "w", force_zip64=True) as member:
            member.write(b"x" * 10)
        archive.writestr("folder/", b"")
        archive.comment = b"a comment"
    assert read(target.content) == {"large": b"x" * 10, "folder/": b""}


def test_an_archive_without_members():
    assert read(zipped({})) == {}


def test_nothing_is_read_that_is_not_asked_for():
    content = zipped()
    content[content.find(b'{"a": 1}')] ^= 1
    archive = opened(content)
    assert bytes(archive.read("a/y")) == MEMBERS["a/y"]
    with pytest.raises(FileError, match=r"here: is damaged: a/x\.json has another checksum than it should\n  mend it"):
        archive.read("a/x.json")
    with pytest.raises(FileError, match="here: lacks b"):
        archive.read("b")


def patched(content, sign, offset, value, size=2):
    """An archive with a number written over, in the first header of a kind."""
    at = content.find(sign) + offset
    content[at : at + size] = value.to_bytes(size, "little")
    return content


def both(offset_local, offset_central, value, size=2, **settings):
    content = zipped({"a": b"abc" * 100}, **settings)
    return patched(patched(content, LOCAL, offset_local, value, size), CENTRAL, offset_central, value, size)


def named(name):
    content = zipped({"aaaa": b"abc"})
    return content.replace(b"aaaa", name.ljust(4, b"a")[:4])


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (b"", "it is no zip archive"),
        (b"PK", "it is no zip archive"),
        (b"x" * 100, "it is no zip archive"),
        (zipped()[:-1], "it is no zip archive, or its end is missing|bytes come after"),
        (zipped()[: len(zipped()) // 2], "it is no zip archive"),
        (zipped() + b"x", "bytes come after its end"),
        (b"x" + zipped(), "bytes come before its start"),
        (zipped([("a", b"1"), ("a", b"2")]), "it has 'a' twice"),
        (zipped([("a", b"1"), ("./a", b"2")]), "it has './a' twice"),
        (zipped([("a/b", b"1"), ("a//b", b"2")]), "twice"),
        (zipped([("é", b"1"), ("e\u0301", b"2")]), "twice"),
        (zipped({"../a": b""}), r"a member is called '\.\./a'"),
        (zipped({"/a": b""}), "a member is called '/a'"),
        (named(b"a\\b"), "a member is called"),
        (named(b"a\0b"), "a member is called"),
        (named(b"\xff"), "a member's name is no UTF-8"),
        (zipped({"x" * 2000: b""}), "a member's name has 2000 bytes"),
        (both(6, 8, 1), "a is encrypted"),
        (both(6, 8, 1 << 6), "a is encrypted"),
        (both(6, 8, 1 << 13), "a is encrypted"),
        (both(6, 8, 1 << 5), "a is packed in a way that is not known"),
        (both(8, 10, 12), r"a is packed in a way that is not known \(12\)"),
        (both(8, 10, 99), r"a is packed in a way that is not known \(99\)"),
        (both(22, 24, 299, 4), "a is not packed, and takes 300 bytes of 299"),
        (patched(zipped({"a": b"abc"}), LOCAL, 8, 8), "a is another one in its own header"),
        (patched(zipped({"a": b"abc"}), LOCAL, 30, ord("b"), 1), "a is another one in its own header"),
        (patched(zipped({"a": b"abc"}), LOCAL, 22, 2, 4), "a has other sizes in its own header"),
        (patched(zipped({"a": b"abc"}), LOCAL, 14, 2, 4), "a has other sizes in its own header"),
        (patched(zipped({"a": b"abc"}), LOCAL, 0, 0), "a has no header"),
        (patched(zipped({"a": b"abc"}), LOCAL, 28, 60_000), "a reaches over the list of members"),
        (patched(zipped({"a": b"abc"}), CENTRAL, 42, 1, 4), "bytes come before its first member"),
        (patched(zipped({"a": b"abc"}), CENTRAL, 34, 1), "it is in several parts"),
        (patched(zipped({"a": b"abc"}), CENTRAL, 28, 9), "its list of members is damaged"),
        (patched(zipped({"a": b"abc"}), END, 4, 1), "it is in several parts"),
        (patched(zipped({"a": b"abc"}), END, 10, 2), "it is in several parts"),
        (patched(zipped({"a": b"abc"}), END, 16, 1, 4), "its list of members does not end where it should"),
        (patched(patched(zipped({"a": b"abc"}), END, 8, 0), END, 10, 0), "bytes, and 0 of them are used"),
        (both(18, 20, 0xFFFFFFFF, 4), "a large member has no size"),
    ],
)
def test_an_archive_that_can_be_read_in_more_ways_than_one_is_refused(content, fact):
    with pytest.raises(FileError, match=rf"here: is damaged: .*({fact})"):
        read(content)


def test_members_that_lie_over_each_other_are_refused():
    content = zipped({"a": b"abc" * 100, "b": b"abc" * 100})
    second = content.rfind(CENTRAL) + 42
    content[second : second + 4] = (5).to_bytes(4, "little")
    with pytest.raises(FileError, match=r"b lies over another member|has no header"):
        read(content)


# Sizes ----------------------------------------------------------------------------------------------------------------


def test_a_small_file_cannot_be_large():
    bomb = zipped({"a": bytes(100 << 20)}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 200_000
    with pytest.raises(FileError, match=r"[\d,]+ bytes would unpack to 104,857,600, and [\d,]+ are the most"):
        opened(bomb)


def lying(size):
    """Packed zeros of 10 MB that say to be of another size."""
    content = zipped({"a": bytes(10 << 20)}, zipfile.ZIP_DEFLATED)
    return patched(patched(content, LOCAL, 22, size, 4), CENTRAL, 24, size, 4)


@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_unpacking_stops_where_it_should_have_ended(size):
    with pytest.raises(FileError, match=f"a unpacks to more than the {size} bytes that it should"):
        read(lying(size))


def test_unpacking_to_less_is_refused():
    with pytest.raises(FileError, match="a does not unpack to the"):
        read(lying((10 << 20) + 1), slack_bytes=1 << 30)


def test_rubbish_after_packed_bytes_is_refused():
    packed = zlib.compressobj(wbits=-15)
    body = packed.compress(b"abc") + packed.flush()
    content = zipped({"a": body + b"rubbish"})
    for sign, method, checksum, size in ((LOCAL, 8, 14, 22), (CENTRAL, 10, 16, 24)):
        content = patched(
            patched(patched(content, sign, method, 8), sign, checksum, zlib.crc32(b"abc"), 4), sign, size, 3, 4
        )
    with pytest.raises(FileError, match="a does not unpack to the 3 bytes that it should"):
        read(content)


def test_a_damaged_stream_is_refused():
    content = zipped({"a": b"abc" * 1000}, zipfile.ZIP_DEFLATED)
    content[40] ^= 0xFF
    with pytest.raises(FileError, match="is damaged: a "):
        read(content)


def test_members_are_counted(monkeypatch):
    monkeypatch.setattr(zip_archive, "MOST_MEMBERS", 3)
    with pytest.raises(FileError, match="it has 4 members, and 3 are the most"):
        opened(zipped())


# Large archives -------------------------------------------------------------------------------------------------------


def with_record(content, **changes):
    """The same archive with the record for large archives before its end, as torch writes it."""
    at = content.rfind(END)
    count, length, start = struct.unpack_from("<HLL", content, at + 10)
    told = {"own": 44, "disk": 0, "count": count, "length": length, "start": start, "at": at} | changes
    record = b"PK\x06\x06" + struct.pack(
        "<Q2H2L4Q", told["own"], 45, 45, told["disk"], 0, count, told["count"], told["length"], told["start"]
    )
    return content[:at] + record + b"PK\x06\x07" + struct.pack("<LQL", 0, told["at"], 1) + content[at:]


def test_the_record_for_large_archives_is_read():
    assert read(with_record(zipped())) == MEMBERS
    saturated = patched(
        patched(patched(with_record(zipped()), END, 16, 0xFFFFFFFF, 4), END, 12, 0xFFFFFFFF, 4), END, 10, 0xFFFF
    )
    assert read(saturated) == MEMBERS


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({"count": 3}, "damaged|differ"),
        ({"length": 1}, "its two records of the list of members differ"),
        ({"start": 1}, "its two records of the list of members differ"),
        ({"own": 45}, "the record of a large archive is damaged"),
        ({"disk": 1}, "the record of a large archive is damaged"),
        ({"at": 0}, "the record of a large archive is"),
        ({"at": 2**60}, "the record of a large archive is not where it should be"),
    ],
)
def test_two_lists_of_members_must_be_one(changes, fact):
    with pytest.raises(FileError, match=fact):
        opened(with_record(zipped(), **changes))
