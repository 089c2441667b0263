import ast
import inspect
import subprocess
import sys
import types
from pathlib import Path

import pytest
from torch import nn

import microjoule
from microjoule.errors import SettingError

SURFACE = [
    *("IntegerRunner", "MicrojouleError", "ModelCard", "Network", "Preprocessing", "Target"),
    *("absorb_high_biases", "adaround"),
    *("avoid_ties", "balance_rounding", "batches", "bayesian_prune", "calibrate", "capture", "channel_groups"),
    *("clip_weights", "compare", "compress", "compress_model", "compression_sensitivity", "correct_biases"),
    *("correct_biases_from_statistics", "costs", "equalize", "equalize_model", "equalize_noise"),
    *("errors_by_layer", "evaluate", "export", "fold_batch_norms", "fold_constant_channels", "freeze"),
    *("gptq", "histograms", "integer_share", "load", "load_encodings", "low_rank", "measure"),
    *("mixed_precision", "natural_noise", "observe_statistics", "qdrop", "quantize", "ranges_from_statistics", "reach"),
    *("recipes", "remove_channels", "report", "round_weights", "run_in_arena", "schedule", "sensitivity"),
    *("sequential_mse", "smooth", "split_concatenations", "target", "train", "tune_allocator", "unfreeze"),
    *("verify", "weight_ranges", "zoo"),
]
"""Every name that users may rely on: it is changed here, too, and on purpose."""


def test_the_public_surface_is_the_written_list():
    assert microjoule.__all__ == SURFACE


def test_the_recipes_are_the_written_list():
    assert microjoule.recipes.__all__ == [
        "adaround",
        "auto",
        "compress",
        "compress_model",
        "compression_front",
        "data_free",
        "deliver",
        "equalize_model",
        "gptq",
        "mixed_precision",
        "naive",
        "pareto",
        "qdrop",
        "svd_prune_int8",
    ]


@pytest.mark.parametrize("name", SURFACE)
def test_every_name_exists_and_is_documented(name):
    documented = inspect.getdoc(getattr(microjoule, name))
    assert documented
    assert documented.splitlines()[0].endswith((".", ":"))


def functions():
    for name in SURFACE:
        value = getattr(microjoule, name)
        if isinstance(value, types.FunctionType):
            yield name, value
        if isinstance(value, types.ModuleType):
            yield from ((f"{name}.{inner}", getattr(value, inner)) for inner in value.__all__)


@pytest.mark.parametrize(
    ("name", "function"), list(functions()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_what_a_function_takes_and_gives_is_typed_and_settings_are_named(name, function):
    signature = inspect.signature(function)
    assert signature.return_annotation is not inspect.Signature.empty
    assert all(parameter.annotation is not inspect.Parameter.empty for parameter in signature.parameters.values())
    positional = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    assert not any(isinstance(parameter.default, bool) for parameter in positional)


def test_the_stub_that_type_checkers_read_lists_the_same():
    stub = Path(microjoule.__file__).with_suffix(".pyi")
    listed = next(line.value for line in ast.parse(stub.read_text()).body if isinstance(line, ast.Assign))
    assert ast.literal_eval(listed) == SURFACE
    assert stub.with_name("py.typed").is_file()


def test_every_name_is_completed_before_it_is_used():
    code = f"import sys, microjoule; assert set({SURFACE}) <= set(dir(microjoule)); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def of_networks():
    """Functions whose first parameter is a network, and what else takes one."""
    for name, function in functions():
        first = next(iter(inspect.signature(function).parameters.values()), None)
        if first is not None and first.annotation is microjoule.Network:
            yield name, function
    yield "IntegerRunner", microjoule.IntegerRunner
    yield "report", lambda given: microjoule.report(given, "r.html")


@pytest.mark.parametrize(("name", "function"), list(of_networks()), ids=lambda one: one if isinstance(one, str) else "")
def test_a_model_that_was_not_captured_is_refused_in_words(name, function):
    with pytest.raises(SettingError, match=r"is a ReLU, and no captured network\n  capture it first, mj.capture"):
        function(nn.ReLU())
    if name != "report":
        with pytest.raises(SettingError, match=r"is a int, and no captured network\n  give what mj.capture, mj.load"):
            function(3)
