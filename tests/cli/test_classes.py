"""Class lists."""

import json

import pytest

from microjoule.cli.classes import names_of, numbers_of, read_classes
from microjoule.errors import DataError, FileError

LABELS = ("n01440764 tench, Tinca tinca", "n01443537 goldfish", "great_white shark")


def test_a_class_a_line(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_bytes("\ufeffcat\r\nbig dog\n\n".encode())
    assert read_classes(path) == ("cat", "big dog")


@pytest.mark.parametrize(
    "content",
    [["cat", "big dog"], {"0": "cat", "1": "big dog"}, {"1": ["big", "dog"], "0": ["cat"]}],
    ids=["list", "numbers", "ids and names"],
)
def test_json_in_its_usual_forms(content, tmp_path):
    path = tmp_path / "classes.json"
    path.write_text(json.dumps(content))
    assert read_classes(path) == ("cat", "big dog")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", "", "is empty"),
        ("a.txt", "\n\n", "is empty"),
        ("a.txt", "cat\n\ndog", "a class without a name"),
        ("a.txt", "cat\ndog\ncat", "names 'cat' twice"),
        ("a.json", "{", "is no class list"),
        ("a.json", '{"1": "cat"}', "is no class list"),
        ("a.json", "3", "is no class list"),
        ("a.json", "[" * 100_000, "is no class list"),
    ],
)
def test_what_is_no_class_list_is_refused(name, content, words, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(FileError, match=words):
        read_classes(tmp_path / name)


def test_files_that_cannot_be_read_are_refused(tmp_path):
    with pytest.raises(FileError, match="cannot be read: No such file"):
        read_classes(tmp_path / "nowhere.txt")
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileError, match="is no text"):
        read_classes(tmp_path / "a.txt")
    (tmp_path / "b.txt").write_bytes(b"a" * (2**22 + 1))
    with pytest.raises(FileError, match="is too large"):
        read_classes(tmp_path / "b.txt")


def test_a_class_has_several_names():
    assert names_of(LABELS[0]) == {
        "n01440764 tench, tinca tinca",
        "n01440764",
        "tench, tinca tinca",
        "tench",
        "tinca tinca",
    }
    assert names_of("great_white shark") == {"great white shark"}


@pytest.mark.parametrize(
    "names", [("n01443537", "n01440764"), ("Goldfish", "tench"), ("goldfish", "Tinca_tinca"), ("n01443537", "tench")]
)
def test_folders_by_id_or_name(names):
    assert numbers_of(names, LABELS, "photos") == {names[0]: 1, names[1]: 0}


def test_no_name_at_all_is_no_class_list_for_them():
    assert numbers_of(("cow", "horse"), LABELS, "photos") is None
    assert numbers_of((), LABELS, "photos") is None


def test_folders_that_are_half_known_are_refused():
    with pytest.raises(DataError, match="photos: has folders that are no class of the network: cow"):
        numbers_of(("tench", "cow"), LABELS, "photos")
    with pytest.raises(DataError, match="several folders for one class"):
        numbers_of(("tench", "n01440764"), LABELS, "photos")
