import pytest

from microjoule.graph.file.names import TAKEN, argument, identifier, path, text


@pytest.mark.parametrize("name", ["x", "_x", "conv_1", "größe"])
def test_names_are_names(name):
    assert identifier(name) == name


@pytest.mark.parametrize("name", ["", "1x", "a b", "a.b", "class", "ｅval", "x" * 1025, 3, None, ["x"], 'x"'])
def test_anything_else_is_no_name(name):
    with pytest.raises(ValueError, match="is no name"):
        identifier(name)


@pytest.mark.parametrize("name", sorted(TAKEN))
def test_an_input_hides_nothing_that_its_code_reads(name):
    assert identifier(name) == name
    assert argument(f"{name}_1") == f"{name}_1"
    with pytest.raises(ValueError, match="is no name of an input"):
        argument(name)


@pytest.mark.parametrize("name", ["a", "a.0.b", "layers.1x1-conv a.weight", "größe"])
def test_parts_of_a_path_are_any_printable_text(name):
    assert path(name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "a.", ".a", "a..b", 'a"b', "a'b", "a\\b", "a\nb", "a\u2028b", ".".join("a" * 65), 3]
)
def test_anything_else_is_no_path(name):
    with pytest.raises(ValueError, match=r"is no path of modules|is no name"):
        path(name)


def test_a_text_is_not_too_long():
    assert text("x" * 1024)
    with pytest.raises(ValueError, match="is no name"):
        text("x" * 1025)
