import struct

import flatbuffers
import pytest

from microjoule.deploy.flatbuffer import TIMES_READ, DamagedError, Flatbuffer
from tests.deploy.litert_models import numbers, table, vector


def built() -> bytes:
    """A table with a number, a text, a vector of numbers and a vector of two tables; field 5 is left out."""
    b = flatbuffers.Builder(64)
    text, ints = b.CreateString("größe"), numbers(b, [1, -2, 3])
    inner = [table(b, {0: ("Int32", 7)}), table(b, {0: ("Int32", 8)})]
    tables = vector(b, inner)
    fields = {
        0: ("Int32", -5),
        1: ("offset", text),
        2: ("offset", ints),
        3: ("offset", tables),
        4: ("offset", inner[1]),
    }
    b.Finish(table(b, fields), file_identifier=b"TEST")
    return bytes(b.Output())


def test_what_was_written_is_read():
    root = Flatbuffer(built()).root(b"TEST")
    assert root.number(0, "i") == -5
    assert root.text(1) == "größe"
    assert root.numbers(2) == (1, -2, 3)
    assert root.count(2, 4) == 3
    assert root.raw(2, 4) == struct.pack("<3i", 1, -2, 3)
    assert [one.number(0, "i") for one in root.tables(3)] == [7, 8]
    assert root.table(4).number(0, "i") == 8


def test_a_field_that_is_not_there_has_its_default():
    root = Flatbuffer(built()).root(b"TEST")
    for field in (5, 50):
        assert root.number(field, "i", 9) == 9
        assert root.table(field) is None
        assert (root.text(field), root.numbers(field), root.count(field, 4), root.tables(field)) == ("", (), 0, [])


def test_a_field_that_is_left_out_between_others_has_its_default():
    b = flatbuffers.Builder(64)
    b.Finish(table(b, {0: ("Int32", 5), 2: ("Int32", 7)}), file_identifier=b"TEST")
    root = Flatbuffer(bytes(b.Output())).root(b"TEST")
    assert [root.number(field, "i", 9) for field in range(3)] == [5, 9, 7]


def test_slots_hold_the_distances_to_the_tables():
    content = built()
    slots = Flatbuffer(content).root(b"TEST").slots(3)
    found = [slot + struct.unpack_from("<I", content, slot)[0] for slot in slots]
    assert [one.at for one in Flatbuffer(content).root(b"TEST").tables(3)] == found


def test_another_kind_of_file_is_refused():
    with pytest.raises(DamagedError, match="no ELSE at byte 4"):
        Flatbuffer(built()).root(b"ELSE")


def test_every_cut_is_refused_but_for_padding():
    whole = built()
    for length in range(len(whole) - 4):
        with pytest.raises(DamagedError):
            read_all(whole[:length])
    assert read_all(whole) == (-5, "größe", (1, -2, 3), [7, 8])


def read_all(content: bytes) -> tuple[object, ...]:
    root = Flatbuffer(content).root(b"TEST")
    return root.number(0, "i"), root.text(1), root.numbers(2), [one.number(0, "i") for one in root.tables(3)]


def test_a_text_that_is_none_is_refused():
    content = built().replace("größe".encode(), b"gr\xff\xfe\xff\xfee"[:7])
    with pytest.raises(DamagedError, match="no text at byte"):
        Flatbuffer(content).root(b"TEST").text(1)


def test_a_vector_over_the_end_is_refused():
    content = bytearray(built())
    at = content.index(struct.pack("<4i", 3, 1, -2, 3))
    struct.pack_into("<I", content, at, 2**31)
    with pytest.raises(DamagedError, match=r"2147483648 entries at byte .* reach over the end"):
        Flatbuffer(bytes(content)).root(b"TEST").numbers(2)


def test_a_list_of_fields_before_the_file_is_refused():
    content = bytearray(built())
    at = Flatbuffer(bytes(content)).root(b"TEST").at
    struct.pack_into("<i", content, at, len(content))
    with pytest.raises(DamagedError, match="byte -"):
        Flatbuffer(bytes(content)).root(b"TEST").number(0, "i")


def test_a_small_file_does_not_hold_much_by_saying_it_again():
    file = Flatbuffer(built())
    root = file.root(b"TEST")
    for _ in range(TIMES_READ * len(file.content) // 12):
        root.numbers(2)
    with pytest.raises(DamagedError, match="the same bytes are there for too many things"):
        root.numbers(2)
