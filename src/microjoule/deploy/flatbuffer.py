"""Flatbuffers, read where they lie: tables of fields, vectors and strings, for files from anywhere.

A table starts with the distance back to its list of fields; the list says how far from the table's start each field
lies, or 0 for one that has its default. A field that is a table, a vector or a string holds the distance to it.

Nothing is read outside of the file. As much may lead to the same place, a small file could seem to hold any number of
entries: no more is read than a few times the file's size.

Source: FlatBuffers, the internal layout, https://flatbuffers.dev/internals/
"""

import struct
from dataclasses import dataclass

TIMES_READ = 4
"""How often a file may be read over before it is taken for damaged; an honest one is read once."""


class DamagedError(ValueError):
    """Something lies outside of the file, is no text, or is there too often."""


class Flatbuffer:
    """A file.

    Args:
        content: all of it.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.left = TIMES_READ * len(content)

    def root(self, identifier: bytes) -> "Table":
        """The table that holds all others.

        Args:
            identifier: the four bytes that say what kind of file it is.

        Raises:
            DamagedError: if it is another kind of file.
        """
        if self.content[4:8] != identifier:
            raise DamagedError(f"no {identifier.decode()} at byte 4")
        return Table(self, self.follow(0))

    def number(self, place: int, kind: str) -> int:
        """A number at a place.

        Args:
            place: of its first byte.
            kind: as `struct` has it, say "i" for 32 bits with a sign.
        """
        if place < 0 or place + struct.calcsize(f"<{kind}") > len(self.content):
            raise DamagedError(f"byte {place} of {len(self.content)} is read")
        return int(struct.unpack_from(f"<{kind}", self.content, place)[0])

    def follow(self, place: int) -> int:
        """Where the distance at a place leads to: always onwards, as it has no sign."""
        return place + self.number(place, "I")

    def spend(self, size: int) -> None:
        """Some bytes are read."""
        self.left -= size
        if self.left < 0:
            raise DamagedError("the same bytes are there for too many things")


@dataclass(frozen=True, slots=True)
class Table:
    """A table in a file.

    Args:
        file: the whole file.
        at: where the table starts.
    """

    file: Flatbuffer
    at: int

    def number(self, field: int, kind: str, default: int = 0) -> int:
        """A field that is a number.

        Args:
            field: its index in the schema.
            kind: as `struct` has it.
            default: where the table does not have the field.
        """
        place = self._place(field)
        return default if place is None else self.file.number(place, kind)

    def table(self, field: int) -> "Table | None":
        """A field that is a table."""
        place = self._place(field)
        return None if place is None else Table(self.file, self.file.follow(place))

    def text(self, field: int) -> str:
        """A field that is a string; empty where the table does not have it."""
        start, count = self._vector(field, 1)
        self.file.spend(count)
        try:
            return self.file.content[start : start + count].decode("utf-8")
        except UnicodeDecodeError as error:
            raise DamagedError(f"no text at byte {start}") from error

    def numbers(self, field: int) -> tuple[int, ...]:
        """A field that is a vector of numbers of 32 bits with a sign."""
        start, count = self._vector(field, 4)
        self.file.spend(4 * count)
        return struct.unpack_from(f"<{count}i", self.file.content, start)

    def raw(self, field: int, size: int) -> bytes:
        """The bytes of a field that is a vector of entries of `size` bytes."""
        start, count = self._vector(field, size)
        self.file.spend(count * size)
        return self.file.content[start : start + count * size]

    def count(self, field: int, size: int) -> int:
        """How many entries of `size` bytes a field has that is a vector."""
        return self._vector(field, size)[1]

    def slots(self, field: int) -> range:
        """Where the entries lie of a field that is a vector of tables."""
        start, count = self._vector(field, 4)
        self.file.spend(4 * count)
        return range(start, start + 4 * count, 4)

    def tables(self, field: int) -> "list[Table]":
        """A field that is a vector of tables."""
        return [Table(self.file, self.file.follow(slot)) for slot in self.slots(field)]

    def _vector(self, field: int, size: int) -> tuple[int, int]:
        place = self._place(field)
        if place is None:
            return 0, 0
        start = self.file.follow(place)
        count = self.file.number(start, "I")
        if start + 4 + count * size > len(self.file.content):
            raise DamagedError(f"{count} entries at byte {start} reach over the end")
        return start + 4, count

    def _place(self, field: int) -> int | None:
        fields = self.at - self.file.number(self.at, "i")
        if 4 + 2 * field >= self.file.number(fields, "H"):
            return None
        distance = self.file.number(fields + 4 + 2 * field, "H")
        return self.at + distance if distance else None
