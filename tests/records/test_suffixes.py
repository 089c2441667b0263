import pytest

from microjoule.errors import SettingError
from microjoule.records.suffixes import check_suffix


@pytest.mark.parametrize("name", ["a.onnx", "a.ONNX", "a", "v1.2", "a.int8", "folder.mj/a.onnx"])
def test_its_own_suffix_and_those_that_say_nothing_will_do(name):
    check_suffix(name, ".onnx")


@pytest.mark.parametrize(
    ("name", "reason"),
    [("a.tflite", r" \(LiteRT files cannot be written yet\)"), ("a.mj", ""), ("a.PT2", ""), ("x/a.html", "")],
)
def test_a_suffix_of_something_else_is_refused(name, reason):
    words = rf"{name}: ends in .*, and this writes an ONNX file, .*{reason}\n  end it in .onnx"
    with pytest.raises(SettingError, match=words):
        check_suffix(name, ".onnx")
