import pytest
from hypothesis import given
from hypothesis import strategies as st

from microjoule.errors import FileError, SettingError
from microjoule.scheduling.arena import Buffer, Plan, aligned, load, read_buffers
from tests.scheduling.random_buffers import buffers_from, few_buffers


def test_load_by_hand():
    assert load(buffers_from((0, 2, 5), (1, 3, 7), (2, 4, 6))) == 13


def test_a_buffer_is_gone_when_its_upper_end_comes():
    assert load(buffers_from((0, 2, 5), (2, 3, 7))) == 7


@given(few_buffers())
def test_load_is_the_most_of_all_moments(buffers):
    moments = [sum(one.size_bytes for one in buffers if one.lower <= moment < one.upper) for moment in range(7)]
    assert load(buffers) == max(moments)


@pytest.mark.parametrize(("other", "meets"), [((0, 2), False), ((0, 3), True), ((3, 9), True), ((4, 5), False)])
def test_what_meets(other, meets):
    one, two = Buffer("a", 2, 4, 1), Buffer("b", *other, 1)
    assert one.meets(two) is two.meets(one) is meets


def test_an_arena_ends_with_its_last_buffer():
    assert Plan.of(buffers_from((0, 1, 5), (1, 2, 7)), [10, 0]) == Plan((10, 0), 15)
    assert Plan.of([], []) == Plan((), 0)


@given(st.integers(0, 100), st.integers(1, 16))
def test_a_size_is_rounded_up_to_the_next_multiple(size, alignment):
    (rounded,) = aligned(buffers_from((0, 1, size)), alignment)
    assert rounded.size_bytes % alignment == 0
    assert 0 <= rounded.size_bytes - size < alignment


@pytest.mark.parametrize("alignment", [0, -1, 1.5, True])
def test_an_alignment_that_cannot_be_is_refused(alignment):
    with pytest.raises(SettingError, match="alignment: got"):
        aligned([], alignment)


@pytest.mark.parametrize(("lower", "upper"), [(1, 1), (2, 1), (0.0, 1), (0, None)])
def test_a_life_that_cannot_be_is_refused(lower, upper):
    with pytest.raises(SettingError, match="buffer 'a': lives from"):
        Buffer("a", lower, upper, 1)


@pytest.mark.parametrize("size", [-1, 1.0, 2**53 + 1, None])
def test_a_size_that_cannot_be_is_refused(size):
    with pytest.raises(SettingError, match=r"buffer 'a': has .* bytes"):
        Buffer("a", 0, 1, size)


def test_a_file_is_read_whatever_the_order_of_its_columns(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("upper,id,lower,size,more\n3,a,1,7,x\n2,b,0,5,y\n", encoding="utf-8")
    assert read_buffers(path) == [Buffer("a", 1, 3, 7), Buffer("b", 0, 2, 5)]


BAD = [
    ("id,lower,upper\na,1,2\n", "has no column 'size'"),
    ("", "has no column 'id'"),
    ("id,lower,upper,size\na,1,2,x\n", "line 2: is no buffer: id=a, lower=1, upper=2, size=x"),
    ("id,lower,upper,size\na,1,2,3\nb,2,2,3\n", "line 3: is no buffer"),
    ("id,lower,upper,size\na,1\n", "line 2: is no buffer"),
]


@pytest.mark.parametrize(("text", "fact"), BAD)
def test_a_file_of_something_else_is_refused(tmp_path, text, fact):
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    with pytest.raises(FileError, match=fact):
        read_buffers(tmp_path / "a.csv")


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe")
    for name in ("a.csv", "b.csv"):
        with pytest.raises(FileError, match="cannot be read"):
            read_buffers(tmp_path / name)
