"""A function of the user's file: called, or one error with the line."""

import pytest

from microjoule.cli.python_file import call, is_python
from microjoule.errors import FileError


def test_a_named_function_and_an_only_one_are_called(tmp_path):
    path = tmp_path / "given.py"
    path.write_text("def one():\n    return 1\n")
    assert call(f"{path}:one") == call(str(path)) == 1
    assert is_python(str(path))
    assert not is_python("model.pt2")


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("def one():\n    raise ValueError('ouch')\n", ":one", "raises ValueError: ouch"),
        ("def one(x):\n    return x\n", ":one", "takes the arguments x"),
        ("a = 1\n", ":one", "there is no such function"),
        ("def one(: pass\n", ":one", "SyntaxError"),
        ("def one():\n    pass\ndef two():\n    pass\n", "", "has 2 functions"),
    ],
    ids=["raises", "arguments", "missing", "syntax", "several"],
)
def test_what_cannot_be_called_is_named_with_its_place(tmp_path, text, name, message):
    path = tmp_path / "given.py"
    path.write_text(text)
    with pytest.raises(FileError, match=message) as caught:
        call(f"{path}{name}")
    assert str(path) in caught.value.place
