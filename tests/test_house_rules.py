"""Every source file keeps the rules of the house, and every rule can fail."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path, PurePath

import pytest

from tests import house_rules as rules

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "microjoule"
FILES = sorted(SOURCE.rglob("*.py")) + sorted((ROOT / "benchmarks").glob("*.py"))
TECHNIQUES = [path for path in sorted((SOURCE / "quantization" / "ptq").glob("*.py")) if path.name != "__init__.py"]
TEXT_RULES = [
    rules.long_file,
    rules.long_functions,
    rules.tensors_without_shape,
    rules.imports_inside_functions,
    rules.unsafe_calls,
    rules.unfinished,
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
IMPORT_NAMES = {"pillow": "PIL", "scikit-learn": "sklearn", "onnxruntime-qnn": "onnxruntime_qnn"}


def name(item: Path | Callable[..., object]) -> str:
    return str(item.relative_to(ROOT)) if isinstance(item, Path) else item.__name__


def import_names(requirements: list[str]) -> set[str]:
    distributions = [re.match(r"[\w-]+", requirement)[0] for requirement in requirements]
    return {IMPORT_NAMES.get(one, one.replace("-", "_")) for one in distributions}


@pytest.mark.parametrize("path", FILES, ids=name)
@pytest.mark.parametrize("rule", TEXT_RULES, ids=name)
def test_a_source_file_keeps(rule, path):
    assert rule(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", TECHNIQUES, ids=name)
def test_a_technique_names_its_source(path):
    assert rules.technique_without_source(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_is_named_for_what_it_holds(path):
    assert rules.forbidden_name(path.relative_to(ROOT)) == []


@pytest.mark.parametrize("path", [path for path in FILES if SOURCE in path.parents], ids=name)
def test_a_source_file_has_a_test_file(path):
    if path.name != "__init__.py":
        mirror = ROOT / "tests" / path.relative_to(SOURCE).with_name(f"test_{path.name}")
        assert mirror.is_file(), f"write {mirror.relative_to(ROOT)}"


def test_an_optional_dependency_is_imported_in_one_file_alone():
    extras = PROJECT["optional-dependencies"]
    optional = import_names([one for extra in extras.values() for one in extra]) - {"microjoule"}
    found = {path: rules.imported_modules(path.read_text(encoding="utf-8")) & optional for path in FILES}
    for dependency in optional:
        importers = [name(path) for path, modules in found.items() if dependency in modules]
        assert len(importers) <= 1, f"{dependency} is imported in {importers}"


# Every rule can fail --------------------------------------------------------------------------------------------------

PLAIN = '''
import ast


def double(x: Tensor) -> Tensor:
    """Twice.

    Args:
        x: any shape.
    """
    return 2 * x
'''


@pytest.mark.parametrize("rule", TEXT_RULES, ids=name)
def test_a_plain_file_has_nothing_wrong(rule):
    assert rule(PLAIN) == []


BAD = [
    (rules.long_file, "x = 1\n" * 351, "351 lines"),
    (rules.long_functions, "def f():\n" + "    x = 1\n" * 40, "f has 41 lines"),
    (rules.long_functions, "def f(\n" + "    a,\n" * 18 + "):\n" + "    x = 1\n" * 26, "f has 46 lines, at most 40"),
    (rules.long_functions, "def f(\n" + "    a,\n" * 19 + "):\n" + "    x = 1\n" * 25, "f has 46 lines, at most 45"),
    (rules.long_functions, "class A:\n    def f(self):\n" + "        x = 1\n" * 40, "f has 41 lines"),
    (rules.tensors_without_shape, "def f(x: Tensor): ...", r"f\(x\): which shape"),
    (rules.tensors_without_shape, "def f(*, x: torch.Tensor | None): ...", r"f\(x\): which shape"),
    (rules.tensors_without_shape, 'def f(x: Tensor):\n    """Of x.\n\n    x: a weight."""', r"f\(x\): which shape"),
    (rules.tensors_without_shape, "class A:\n    def f(self, x: Tensor): ...", r"f\(x\): which shape"),
    (rules.tensors_without_shape, "class A:\n    def forward(self, x: Tensor): ...", r"forward\(x\): which shape"),
    (rules.imports_inside_functions, "def f():\n    import os", "line 2: import inside f"),
    (rules.imports_inside_functions, "def f():\n    if x:\n        from os import path", "line 3: import inside f"),
    (rules.unsafe_calls, "import pickle", "imports pickle"),
    (rules.unsafe_calls, "from pickle import load", "imports pickle"),
    (rules.unsafe_calls, "eval(text)", "calls eval"),
    (rules.unsafe_calls, "exec(text)", "calls exec"),
    (rules.unsafe_calls, "torch.load(path)", "weights_only"),
    (rules.unsafe_calls, "torch.load(path, weights_only=False)", "weights_only"),
    (rules.unsafe_calls, "subprocess.run(text, shell=True)", "shell=True"),
    (rules.unsafe_calls, "np.load(path, allow_pickle=True)", "allow_pickle"),
    (rules.unfinished, "x = 1  # TODO: y", "line 1: TODO"),
    (rules.technique_without_source, '"""A technique."""', "no line 'Source"),
    (rules.technique_without_source, '"""A technique.\n\nSource: somewhere.\n"""', "no line 'Source"),
]


@pytest.mark.parametrize(("rule", "text", "expected"), BAD, ids=lambda value: getattr(value, "__name__", None))
def test_a_rule_finds_what_breaks_it(rule, text, expected):
    problems = rule(text)
    assert len(problems) == 1
    assert re.search(expected, problems[0])


GOOD = [
    (rules.long_functions, 'def f():\n    """Long.\n' + "\n" * 100 + '    """\n' + "    x = 1\n" * 39),
    (rules.long_functions, "def f(\n" + "    a,\n" * 18 + "):\n" + "    x = 1\n" * 25),
    (rules.tensors_without_shape, "def _f(x: Tensor): ..."),
    (rules.tensors_without_shape, 'def f(x: Tensor, y: Tensor):\n    """F.\n\n    x: (n,)\n    y: as `x`.\n    """'),
    (rules.tensors_without_shape, 'class A:\n    """A.\n\n    x: (n,)\n    """\n    def forward(self, x: Tensor): ...'),
    (rules.unsafe_calls, "module.eval()\ntorch.load(path, weights_only=True)\nnp.load(path, allow_pickle=False)"),
    (
        rules.technique_without_source,
        '"""A.\n\nSource: Nagel et al. 2019, Title,\nhttps://arxiv.org/abs/1906.04721, section 4.\n"""',
    ),
]


@pytest.mark.parametrize(("rule", "text"), GOOD, ids=lambda value: getattr(value, "__name__", None))
def test_a_rule_lets_pass_what_keeps_it(rule, text):
    assert rule(text) == []


@pytest.mark.parametrize("path", ["src/a/utils.py", "src/common/a.py", "src/tensor_helpers.py", "src/quantizer_v2.py"])
def test_a_name_that_says_nothing_is_found(path):
    assert len(rules.forbidden_name(PurePath(path))) == 1


def test_a_models_own_name_may_have_its_version():
    assert rules.forbidden_name(PurePath("src/microjoule/zoo/mobilenet_v2.py")) == []


def test_imported_modules_are_the_top_level_names():
    text = "import a.b\nfrom c.d import e\nfrom . import f\ndef g():\n    import h as i\n"
    assert rules.imported_modules(text) == {"a", "c", "h"}
