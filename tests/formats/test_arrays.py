import io
import zipfile

import numpy as np
import pytest

from microjoule.errors import FileError
from microjoule.formats.arrays import read_arrays

ARRAYS = {
    "floats": np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 3, 4),
    "columns": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "big": np.arange(3, dtype=">i2"),
    "single": np.float64(3),
    "nothing": np.empty((3, 0), np.uint8),
    "truth": np.array([True, False]),
    "texts": np.array(["a", "größe"]),
    "bytes": np.array([b"a", b"bc"]),
    "complex": np.array([1 + 2j]),
}


def read(path):
    return read_arrays(path, remedy="mend it")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_back(tmp_path, save):
    save(tmp_path / "a.npz", **ARRAYS)
    found = read(tmp_path / "a.npz")
    assert set(found) == set(ARRAYS)
    for name, expected in ARRAYS.items():
        assert found[name].dtype == expected.dtype
        np.testing.assert_array_equal(found[name], expected)


def test_labels_that_pack_well_are_read(tmp_path):
    """A map of one class packs a thousand to one."""
    np.savez_compressed(tmp_path / "a.npz", y=np.zeros((50, 1000, 1000), np.uint8))
    assert not read(tmp_path / "a.npz")["y"].any()


@pytest.mark.parametrize(
    "value", [np.array([{}, None]), np.zeros(2, [("a", "f4"), ("b", "i4")]), np.array(["2020"], "M8[Y]")]
)
def test_anything_but_numbers_and_texts_is_refused(tmp_path, value):
    np.savez(tmp_path / "a.npz", x=value)
    with pytest.raises(FileError, match=r"a\.npz: is damaged: the array 'x': holds .*\n  mend it"):
        read(tmp_path / "a.npz")


def written(path, header, content=b"\0" * 24, *, version=(1, 0), length=None):
    raw = header if isinstance(header, bytes) else header.encode("latin1")
    size = len(raw) if length is None else length
    array = b"\x93NUMPY" + bytes(version) + size.to_bytes(2 if version[0] == 1 else 4, "little") + raw + content
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x.npy", array)
    path.write_bytes(buffer.getvalue())


def header(descr="'<f4'", order="False", shape="(6,)"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n"


def test_the_sound_header_is_read(tmp_path):
    for version in ((1, 0), (2, 0), (3, 0)):
        written(tmp_path / "a.npz", header(), version=version)
        assert read(tmp_path / "a.npz")["x"].shape == (6,)


@pytest.mark.parametrize(
    ("broken", "fact"),
    [
        (header(shape="(10**9,)"), "malformed|damaged"),
        (header(shape="(1000000000000,)"), "says to be of shape"),
        (header(shape="(281474976710656,)"), "has the shape"),
        (header(shape="(5,)"), r"says to be of shape \(5,\) and type float32, and has 24 bytes"),
        (header(shape="(7,)"), "says to be of shape"),
        (header(shape="(-6,)"), "has the shape"),
        (header(shape="(6.0,)"), "has the shape"),
        (header(shape="(True, 6)"), "has the shape"),
        (header(shape="6"), "has no shape"),
        (header(shape="(1,) * 9"), "malformed"),
        (header(shape=str((1,) * 33)), "has no shape"),
        (header(order="1"), "has no shape or no order"),
        (header(descr="'O'"), "which are no numbers"),
        (header(descr="'|O8'"), "which are no numbers"),
        (header(descr="[('a', '<f4')]"), "holds records"),
        (header(descr="'<f4, <f4'"), "which are no numbers"),
        (header(descr="'x9'"), "data type 'x9' not understood|'x9'"),
        (header(descr="3"), "holds records"),
        (header(descr="'" + "f" * 100 + "'"), "holds records"),
        ("{'descr': '<f4'}", "has no header"),
        ("[]", "has no header"),
        ("__import__('os').mkdir('sprung')", "malformed"),
        ("(" * 1000, "the array 'x'"),
        ("{", "the array 'x'"),
        (b"\xff\xfe", "the array 'x'"),
        ("", "the array 'x'"),
    ],
)
def test_a_broken_header_is_refused(tmp_path, broken, fact):
    written(tmp_path / "a.npz", broken)
    with pytest.raises(FileError, match=rf"is damaged: .*({fact})"):
        read(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("settings", "fact"),
    [
        ({"version": (9, 0)}, "is of format 9"),
        ({"length": 60_000}, "has a header of 60000 bytes"),
        ({"length": 200}, "header of 200"),
    ],
)
def test_a_header_of_another_size_is_refused(tmp_path, settings, fact):
    written(tmp_path / "a.npz", header(), **settings)
    with pytest.raises(FileError, match=fact):
        read(tmp_path / "a.npz")


def test_what_is_no_array_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", b"x = 1")
    with pytest.raises(FileError, match="the array 'x': is no array of NumPy's"):
        read(tmp_path / "a.npz")
