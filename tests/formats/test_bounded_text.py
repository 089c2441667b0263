import pytest

from microjoule.errors import FileError
from microjoule.formats import bounded_text
from microjoule.formats.bounded_text import DEEPEST, LARGEST_NUMBER, LONGEST_TOML, read_json, read_toml


def json(text):
    return read_json(text, "here", remedy="mend it")


def toml(text):
    return read_toml(text, "here", remedy="mend it")


def test_values_are_plain():
    text = '{"a": [1, -2.5, true, null, "é"], "b": {"c": 18446744073709551615}}'
    assert json(text) == {"a": [1, -2.5, True, None, "é"], "b": {"c": LARGEST_NUMBER}}
    assert json(text.encode()) == json(text)
    assert json("[" * DEEPEST + "]" * DEEPEST)
    assert toml('a = 1\n[b]\nc = ["x", 0.5]\n') == {"a": 1, "b": {"c": ["x", 0.5]}}


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("[" * 100_000, "is nested more than 64 deep"),
        ("[" * 100_000 + "]" * 100_000, "is nested more than 64 deep"),
        ("[" * 66 + "]" * 66, "is nested more than 64 deep"),
        ('{"a":' * 500 + "1" + "}" * 500, "is nested more than 64 deep"),
        ("9" * 30, "a whole number has more than 64 bits"),
        ("[-18446744073709551616]", "a whole number has more than 64 bits"),
        ("9" * 5000, "is not valid JSON: Exceeds the limit"),
        ("1e400", "a number is inf"),
        ("[-1e400]", "a number is -inf"),
        ("NaN", "NaN is not a JSON value"),
        ("[Infinity]", "Infinity is not a JSON value"),
        ('{"a": 1, "a": 1}', "an object names the same field twice"),
        ('"\\ud800"', "a text holds half a character"),
        ('{"\\udfff": 1}', "a text holds half a character"),
        ("", "is not valid JSON: Expecting value"),
        ("{", "is not valid JSON"),
        ("[1] x", "Extra data"),
        (b"\xff", "it is no UTF-8 at byte 0"),
        ("﻿1", "is not valid JSON"),
    ],
    ids=lambda value: str(value[:20]),
)
def test_json_beyond_the_bounds_is_refused(text, fact):
    with pytest.raises(FileError, match=rf"here: .*{fact}.*\n  mend it"):
        json(text)


def test_too_many_values_are_refused_before_they_are_made(monkeypatch):
    monkeypatch.setattr(bounded_text, "MOST_VALUES", 100)
    assert len(json("[" + "1," * 98 + "1]")) == 99
    with pytest.raises(FileError, match="it holds up to 101 values, and 100 are the most"):
        json("[" + "1," * 100 + "1]")


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("a = " + "[" * 20_000, "is nested more than 64 deep"),
        ("a = " + "[" * 70 + "]" * 70, "is nested more than 64 deep"),
        ("a" + ".a" * 70 + " = 1", "is nested more than 64 deep"),
        ("a = inf", "a number is inf"),
        ("a = nan", "a number is nan"),
        ("a = 18446744073709551616", "a whole number has more than 64 bits"),
        ("a = " + "9" * 5000, "is not valid TOML"),
        ("a = 1\na = 2", "is not valid TOML: Cannot overwrite a value"),
        ("[a", "is not valid TOML"),
        ("a = 1\n" * LONGEST_TOML, r"it has [\d,]+ characters, and 32,768 are the most"),
    ],
    ids=lambda value: value[:20],
)
def test_toml_beyond_the_bounds_is_refused(text, fact):
    with pytest.raises(FileError, match=rf"here: .*{fact}.*\n  mend it"):
        toml(text)
