"""Names that are imported when they are first used."""

import importlib
import subprocess
import sys

import pytest

from microjoule.on_demand import origins

SOURCES = {
    "__init__.py": "from microjoule.on_demand import import_on_demand\n\nimport_on_demand(__name__)\n",
    "__init__.pyi": (
        "from {name} import parts\nfrom {name}.heavy import weigh\nfrom {name}.weigh.scale import big as large\n"
        "from json import dumps\n__all__ = []\n"
    ),
    "heavy.py": "print('heavy')\ndef weigh(): return 1\n",
    "parts.py": "",
    "other.py": "",
    "weigh/__init__.py": "",
    "weigh/scale.py": "big = 3\n",
}


@pytest.fixture
def package(tmp_path, monkeypatch, request):
    """A package with names on demand, of which one is called as a package is."""
    name = f"on_demand_{abs(hash(request.node.name))}"
    for path, text in SOURCES.items():
        file = tmp_path / name / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.replace("{name}", name))
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module(name)
    for module in [module for module in sys.modules if module.partition(".")[0] == name]:
        del sys.modules[module]


def test_a_name_is_imported_when_it_is_used_and_once(package, capsys):
    assert capsys.readouterr().out == ""
    assert package.weigh() == package.weigh() == 1
    assert capsys.readouterr().out == "heavy\n"
    assert vars(package)["weigh"] is package.weigh


def test_another_name_for_it_and_names_from_elsewhere(package):
    assert package.large == 3
    assert package.dumps([1]) == "[1]"


def test_all_names_are_known_before(package):
    assert package.__all__ == ["dumps", "large", "parts", "weigh"]
    assert {"dumps", "large", "parts", "weigh", "__doc__"} <= set(dir(package))
    assert "other" not in dir(package)


def test_submodules_are_there_without_an_import(package):
    assert package.other.__name__ == f"{package.__name__}.other"
    assert package.parts is sys.modules[f"{package.__name__}.parts"]


@pytest.mark.parametrize("name", ["nothing", "__wrapped__"])
def test_what_is_not_there_is_an_attribute_error(package, name):
    with pytest.raises(AttributeError, match=f"has no attribute '{name}'"):
        getattr(package, name)
    assert not hasattr(package, name)


def test_importing_a_package_does_not_hide_the_function_of_its_name(package):
    importlib.import_module(f"{package.__name__}.weigh.scale")
    assert package.weigh() == 1
    assert sys.modules[f"{package.__name__}.weigh"].scale.big == 3


def test_any_other_value_can_be_set(package, monkeypatch):
    monkeypatch.setattr(package, "weigh", lambda: 2)
    assert package.weigh() == 2
    package.new = 5
    assert package.new == 5


def test_a_module_that_is_no_package_has_no_submodules():
    commands = importlib.import_module("microjoule.cli.commands")
    with pytest.raises(AttributeError, match="has no attribute 'quantise'"):
        commands.quantise  # noqa: B018


def test_origins_by_hand(tmp_path):
    stub = tmp_path / "x.pyi"
    stub.write_text('"""Doc."""\n\nfrom a.b import c, d as e\nfrom f import (\n    g,\n)\n\n__all__ = ["c"]\n')
    assert origins(stub) == {"c": ("a.b", "c"), "e": ("a.b", "d"), "g": ("f", "g")}


@pytest.mark.slow
def test_the_package_is_imported_without_torch_and_functions_are_what_their_packages_hide():
    code = (
        "import sys, microjoule as mj\n"
        "assert not {'torch', 'numpy', 'scipy', 'sklearn', 'rich'} & set(sys.modules)\n"
        "import microjoule.report.units, microjoule.errors\n"
        "assert mj.errors.MicrojouleError is mj.MicrojouleError\n"
        "assert 'torch' not in sys.modules\n"
        "assert callable(mj.report) and callable(mj.capture) and callable(mj.costs)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
