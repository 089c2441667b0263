import subprocess
import sys

import pytest
import torch
from torch.fx import Graph

from microjoule.errors import SettingError
from microjoule.graph.file import operators
from microjoule.graph.file.operators import PYTHON, by_name, listed, operator_at, operator_name, overloads
from microjoule.graph.ops import FUNCTION_KINDS

aten = torch.ops.aten
MADE_WITH = "2.13.0"


def test_the_list_is_what_the_command_makes():
    """With another version of torch it may lack overloads that this one adds, and name some that this one lacks."""
    text = operators.resources.files("microjoule.graph.file").joinpath("operators.txt").read_text("utf-8")
    assert text.startswith(f"# torch {MADE_WITH}\n")
    if torch.__version__.partition("+")[0] == MADE_WITH:
        made = subprocess.run(
            [sys.executable, "-m", "microjoule.graph.file.operators"], capture_output=True, text=True, check=True
        )
        assert made.stdout == text
    assert len(listed()) > 800


def test_everything_on_the_list_only_computes():
    for name in overloads():
        schema = operator_at(name, {})._schema
        assert not schema.is_mutable, name
        assert schema.returns, name
        assert not any(argument.is_out for argument in schema.arguments), name


@pytest.mark.parametrize(
    "name",
    [
        *("from_file.default", "set.source_Tensor", "resize.default", "pin_memory.default", "data.default"),
        *("rand.default", "bernoulli.default", "normal.Tensor_float", "randperm.default", "multinomial.default"),
        *(
            "relu_.default",
            "add.out",
            "_print.default",
            "_assert_async.msg",
            "_cudnn_rnn.default",
            "_reshape_alias.default",
        ),
        *("max_pool2d_with_indices_backward.default", "special_chebyshev_polynomial_t.default", "to_sparse.default"),
        *(
            "quantize_per_tensor.default",
            "save.default",
            "softmax.Dimname",
            "mkldnn_convolution.default",
            "ctc_loss.IntList",
        ),
    ],
)
def test_what_does_more_is_not_on_the_list(name):
    with pytest.raises(KeyError, match=f"the operator aten.{name}, which is not on the list"):
        operator_at(f"aten.{name}", {})


def test_every_operator_that_techniques_know_is_on_the_list():
    for target in FUNCTION_KINDS:
        name = operator_name(target)
        assert name is not None
        assert operator_at(name, {}) is target


@pytest.mark.parametrize("name", PYTHON)
def test_functions_of_sizes_come_back(name):
    assert operator_name(operator_at(name, {})) == name


@pytest.mark.parametrize(
    "name",
    [
        "aten",
        "aten.relu",
        "aten.relu.default.x",
        "aten.__class__.default",
        "python.eval",
        "torch.load",
        "",
        "os.system",
    ],
)
def test_names_are_not_looked_up_anywhere_else(name):
    with pytest.raises(KeyError, match="which is not on the list"):
        operator_at(name, {})


def test_an_overload_that_this_torch_lacks_is_said(monkeypatch):
    monkeypatch.setattr(operators, "listed", lambda: frozenset(["aten.future.default"]))
    with pytest.raises(KeyError, match=r"the operator aten.future.default, which torch .* lacks"):
        operator_at("aten.future.default", {})


def test_something_that_has_no_name_in_a_file():
    assert operator_name(print) is None
    assert operator_name(Graph().placeholder("x").target) is None


def test_operators_are_handed_over_by_name():
    allowed = by_name([aten.rand.default])
    assert operator_at("aten.rand.default", allowed) is aten.rand.default
    with pytest.raises(SettingError, match=r"no operator's overload\n  give classes, or overloads such as"):
        by_name([aten.rand])
