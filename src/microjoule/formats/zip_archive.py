"""Zip archives from anywhere: read once, by one reader, and no size in them is believed before it is checked.

Two readers of one archive can see two archives: a name may stand in it twice, the list of members at its end may
differ from what stands before each, bytes may come before the first or after the last. Whoever checks with one reader
and reads with another has checked nothing. So an archive is taken only if it can be read in one way, and what is given
on is what was checked, never the archive itself.

Source: PKWARE, .ZIP File Format Specification, version 6.3.10,
https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, section 4.3.
"""

import struct
import unicodedata
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from os import PathLike
from typing import NamedTuple

from microjoule.errors import FileError
from microjoule.formats.bounded_file import open_file

STORED, DEFLATED = 0, 8
ENCRYPTED, HAS_DESCRIPTOR, PATCHED, STRONG, MASKED = 1 << 0, 1 << 3, 1 << 5, 1 << 6, 1 << 13
MOST_MEMBERS = 100_000
LONGEST_NAME = 1024
END_BYTES, LONGEST_COMMENT = 22, 65_535
IN_ZIP64 = 0xFFFFFFFF
"""Stands for a number that is in the record or field for large archives."""

LIMITS = (IN_ZIP64, IN_ZIP64, 0xFFFF)
PIECE_BYTES = 1 << 20


class DamagedZipError(ValueError):
    """An archive that cannot be read, or in more ways than one."""


class Member(NamedTuple):
    """A file in an archive: where its header lies, and what it takes packed and unpacked."""

    name: str
    at: int
    method: int
    flags: int
    checksum: int
    packed_bytes: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ZipArchive:
    """An open archive.

    Args:
        place: the file.
        file: open.
        members: by name.
        directory: where the list of members starts.
        remedy: what to do if it is damaged.
    """

    place: str
    file: BufferedIOBase
    members: dict[str, Member]
    directory: int
    remedy: str

    def read(self, name: str) -> bytearray:
        """The bytes of a member.

        Raises:
            FileError: if there is none of that name, or it is damaged.
        """
        if name not in self.members:
            raise FileError(self.place, f"lacks {name}", remedy=self.remedy)
        try:
            return _content(self.file, self.members[name], self.directory)
        except (DamagedZipError, zlib.error, OSError, struct.error) as error:
            raise FileError(self.place, f"is damaged: {name} {error}", remedy=self.remedy) from error


@contextmanager
def open_zip(
    path: str | PathLike[str], *, remedy: str, ratio: int = 32, slack_bytes: int = 1 << 20
) -> Iterator[ZipArchive]:
    """An archive, open for reading.

    Args:
        path: of the file.
        remedy: what to do if it is damaged.
        ratio: how many bytes a packed byte may become.
        slack_bytes: how many bytes all members together may have beyond that.

    Raises:
        FileError: if there is no such file, it is no archive, it can be read in more ways than one, a member is
            encrypted or packed in a way that is not known, or all have more bytes than `ratio` and `slack_bytes` allow.
    """
    with open_file(path) as (file, size):
        yield zip_in(file, size, str(path), remedy=remedy, ratio=ratio, slack_bytes=slack_bytes)


def zip_in(
    file: BufferedIOBase, size: int, place: str, *, remedy: str, ratio: int = 32, slack_bytes: int = 1 << 20
) -> ZipArchive:
    """An archive in a file that is open, or in memory.

    Args:
        file: its bytes.
        size: how many they are.
        place: what to call it in messages.
        remedy: as for `open_zip`, and so are the others.

    Raises:
        FileError: as `open_zip`.
    """
    try:
        directory, members = _members(file, size)
        most, whole = ratio * size + slack_bytes, sum(one.size_bytes for one in members)
        if whole > most:
            raise DamagedZipError(f"{size:,} bytes would unpack to {whole:,}, and {most:,} are the most")
    except (DamagedZipError, OSError, struct.error) as error:
        raise FileError(place, f"is damaged: {error}", remedy=remedy) from error
    return ZipArchive(place, file, {one.name: one for one in members}, directory, remedy)


# The list at the end --------------------------------------------------------------------------------------------------


def _members(file: BufferedIOBase, size: int) -> tuple[int, list[Member]]:
    start, length, count = _directory(file, size)
    file.seek(start)
    listed = file.read(length)
    members, at = [], 0
    for _ in range(count):
        member, at = _listed(listed, at)
        members.append(member)
    if at != length:
        raise DamagedZipError(f"its list of members has {length} bytes, and {at} of them are used")
    _require_one_of_each(members)
    _require_apart(members, start)
    return start, members


def _directory(file: BufferedIOBase, size: int) -> tuple[int, int, int]:
    """Where the list of members starts, how long it is, and how many they are; it ends where the end record starts."""
    file.seek(max(0, size - END_BYTES - LONGEST_COMMENT))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < END_BYTES:
        raise DamagedZipError("it is no zip archive, or its end is missing")
    disk, first_disk, on_disk, count, length, start, comment = struct.unpack("<4H2LH", tail[at + 4 : at + END_BYTES])
    if len(tail) - at != END_BYTES + comment:
        raise DamagedZipError("bytes come after its end")
    end = size - len(tail) + at
    large = _large_directory(file, end)
    if large is not None:
        told, (start, length, count, end) = (start, length, count), large
        if any(one not in (other, limit) for one, other, limit in zip(told, large, LIMITS, strict=False)):
            raise DamagedZipError("its two records of the list of members differ")
    elif disk or first_disk or on_disk != count:
        raise DamagedZipError("it is in several parts")
    if start + length != end:
        raise DamagedZipError("its list of members does not end where it should, or bytes come before its start")
    if count > MOST_MEMBERS:
        raise DamagedZipError(f"it has {count:,} members, and {MOST_MEMBERS:,} are the most")
    return start, length, count


def _large_directory(file: BufferedIOBase, end: int) -> tuple[int, int, int, int] | None:
    """Start, length and count from the record for large archives (zip64), and where it lies; None without one."""
    file.seek(max(0, end - 20))
    locator = file.read(20)
    if len(locator) < 20 or not locator.startswith(b"PK\x06\x07"):
        return None
    disk, at, disks = struct.unpack("<LQL", locator[4:])
    if disk or disks > 1 or at > end - 76:
        raise DamagedZipError("the record of a large archive is not where it should be")
    file.seek(at)
    record = file.read(56)
    if len(record) < 56 or not record.startswith(b"PK\x06\x06"):
        raise DamagedZipError("the record of a large archive is damaged")
    own_bytes, _, _, disk, first_disk, on_disk, count, length, start = struct.unpack("<Q2H2L4Q", record[4:])
    if own_bytes + 12 != end - 20 - at or disk or first_disk or on_disk != count:
        raise DamagedZipError("the record of a large archive is damaged")
    return start, length, count, at


def _listed(listed: bytes, at: int) -> tuple[Member, int]:
    """A member by its entry in the list, and where the next entry starts."""
    if len(listed) < at + 46 or listed[at : at + 4] != b"PK\x01\x02":
        raise DamagedZipError("its list of members is damaged")
    fields = struct.unpack("<6H3L5H2L", listed[at + 4 : at + 46])
    flags, method, checksum = fields[2], fields[3], fields[6]
    packed, size, named, extra, comment, disk, start = *fields[7:13], fields[15]
    end = at + 46 + named + extra + comment
    if len(listed) < end:
        raise DamagedZipError("its list of members is damaged")
    name = _name(listed[at + 46 : at + 46 + named])
    if IN_ZIP64 in (packed, size, start):
        size, packed, start = _large(listed[at + 46 + named : end - comment], size, packed, start)
    if disk:
        raise DamagedZipError("it is in several parts")
    _require_readable(name, flags, method, packed, size)
    return Member(name, start, method, flags, checksum, packed, size), end


def _large(extra: bytes, size: int, packed: int, start: int) -> tuple[int, int, int]:
    """Those of three numbers that did not fit into 32 bits, from the extra field for large archives."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack("<2H", extra[at : at + 4])
        if kind == 1:
            values = iter(struct.unpack(f"<{length // 8}Q", extra[at + 4 : at + 4 + length // 8 * 8]))
            try:
                found = [next(values) if one == IN_ZIP64 else one for one in (size, packed, start)]
            except StopIteration as error:
                raise DamagedZipError("a large member has no size") from error
            return found[0], found[1], found[2]
        at += 4 + length
    raise DamagedZipError("a large member has no size")


def _name(raw: bytes) -> str:
    """A member's name: a path below the archive, in UTF-8."""
    if not raw or len(raw) > LONGEST_NAME:
        raise DamagedZipError(f"a member's name has {len(raw)} bytes")
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DamagedZipError(f"a member's name is no UTF-8: {raw[:40]!r}") from error
    if "\0" in name or "\\" in name or name.startswith("/") or ".." in name.split("/"):
        raise DamagedZipError(f"a member is called {name!r}")
    return name


def _require_readable(name: str, flags: int, method: int, packed: int, size: int) -> None:
    if flags & (ENCRYPTED | STRONG | MASKED):
        raise DamagedZipError(f"{name} is encrypted")
    if flags & PATCHED or method not in (STORED, DEFLATED):
        raise DamagedZipError(f"{name} is packed in a way that is not known ({method})")
    if method == STORED and packed != size:
        raise DamagedZipError(f"{name} is not packed, and takes {packed} bytes of {size}")


def _require_one_of_each(members: list[Member]) -> None:
    seen: set[str] = set()
    for one in members:
        plain = "/".join(part for part in unicodedata.normalize("NFC", one.name).split("/") if part not in ("", "."))
        if plain in seen:
            raise DamagedZipError(f"it has {one.name!r} twice")
        seen.add(plain)


def _require_apart(members: list[Member], directory: int) -> None:
    """No byte belongs to two members, and the first member starts the file."""
    end = 0
    for one in sorted(members, key=lambda member: member.at):
        if one.at < end:
            raise DamagedZipError(f"{one.name} lies over another member")
        if end == 0 and one.at:
            raise DamagedZipError("bytes come before its first member")
        end = one.at + 30 + len(one.name.encode()) + one.packed_bytes
    if end > directory:
        raise DamagedZipError("a member reaches over the list of members")


# One member -----------------------------------------------------------------------------------------------------------


def _content(file: BufferedIOBase, member: Member, directory: int) -> bytearray:
    file.seek(member.at)
    header = file.read(30)
    if len(header) < 30 or not header.startswith(b"PK\x03\x04"):
        raise DamagedZipError("has no header")
    fields = struct.unpack("<5H3L2H", header[4:])
    flags, method, checksum, packed, size, named, extra = *fields[1:3], *fields[5:]
    name = file.read(named)
    if name != member.name.encode() or (flags, method) != (member.flags, member.method):
        raise DamagedZipError("is another one in its own header than in the list")
    sizes = zip((packed, size), (member.packed_bytes, member.size_bytes), strict=True)
    follows = bool(flags & HAS_DESCRIPTOR)  # the numbers may follow the content, and be left out here
    agree = all(one in (other, IN_ZIP64) or (follows and one == 0) for one, other in sizes)
    if not agree or (checksum != member.checksum and not (follows and checksum == 0)):
        raise DamagedZipError("has other sizes in its own header than in the list")
    start = member.at + 30 + named + extra
    if start + member.packed_bytes > directory:
        raise DamagedZipError("reaches over the list of members")
    file.seek(start)
    content = _stored(file, member) if member.method == STORED else _inflated(file, member)
    if zlib.crc32(content) != member.checksum:
        raise DamagedZipError("has another checksum than it should")
    return content


def _stored(file: BufferedIOBase, member: Member) -> bytearray:
    content = bytearray(member.size_bytes)
    if file.readinto(content) != member.size_bytes:
        raise DamagedZipError("is not all there")
    return content


def _inflated(file: BufferedIOBase, member: Member) -> bytearray:
    """Unpack piece by piece, and stop as soon as there is more than there should be."""
    unpacking, content, left = zlib.decompressobj(-zlib.MAX_WBITS), bytearray(), member.packed_bytes
    while left and not unpacking.eof:
        piece = file.read(min(PIECE_BYTES, left))
        if not piece:
            raise DamagedZipError("is not all there")
        left -= len(piece)
        content += unpacking.decompress(piece, member.size_bytes + 1 - len(content))
        if len(content) > member.size_bytes or unpacking.unconsumed_tail:
            raise DamagedZipError(f"unpacks to more than the {member.size_bytes} bytes that it should")
    if not unpacking.eof or left or unpacking.unused_data or len(content) != member.size_bytes:
        raise DamagedZipError(f"does not unpack to the {member.size_bytes} bytes that it should")
    return content
