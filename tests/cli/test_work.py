"""What commands call, imported when a command runs."""

import ast
from pathlib import Path

import pytest

from microjoule.cli import work
from microjoule.on_demand import origins

STUB = Path(work.__file__).with_suffix(".pyi")
NAMES = origins(STUB)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_there(name):
    assert getattr(work, name) is not None


def test_the_stub_lists_what_it_imports():
    listed = next(line.value for line in ast.parse(STUB.read_text()).body if isinstance(line, ast.Assign))
    assert set(ast.literal_eval(listed)) == set(NAMES)


def test_every_name_is_used_by_a_command():
    text = "\n".join(path.read_text() for path in STUB.parent.glob("*.py"))
    assert [name for name in NAMES if f"work.{name}" not in text] == []
