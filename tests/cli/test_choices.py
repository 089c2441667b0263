"""The words of options: they are those of what they stand for."""

import pytest

import microjoule as mj
from microjoule.cli import choices, names
from microjoule.compression.criteria import CRITERIA
from microjoule.costs.target import names as target_names
from microjoule.deploy.output_agreement import LEAST_DB
from microjoule.deploy.verify import RUNTIMES
from microjoule.errors import SettingError
from microjoule.quantization.bit_costs import COSTS
from microjoule.recipes.attempt_costs import PRICES
from microjoule.recipes.compress_model import SCHEMES
from microjoule.recipes.compression_front import SHARES
from microjoule.zoo.metrics import METRICS


def dashed(words):
    return tuple(word.replace("_", "-") for word in words)


@pytest.mark.parametrize(
    ("words", "meanings"),
    [
        (choices.TARGETS, tuple(target_names())),
        (choices.RULES, tuple(names.RULES)),
        (choices.NORMALISATIONS, tuple(names.NORMALISATIONS)),
        (choices.METRICS, tuple(METRICS)),
        (choices.BUDGETS, tuple(COSTS)),
        (choices.PRICES, tuple(PRICES)),
        (choices.SCHEMES, dashed(SCHEMES)),
        (choices.CRITERIA, dashed(CRITERIA)),
        (choices.SHARES, SHARES),
        (choices.RUNTIMES, RUNTIMES),
        (choices.LEAST_DB, LEAST_DB),
    ],
    ids=[
        "targets",
        "rules",
        "pixels",
        "metrics",
        "budgets",
        "prices",
        "schemes",
        "criteria",
        "shares",
        "runtimes",
        "least",
    ],
)
def test_the_words_are_those_that_mean_something(words, meanings):
    assert words == meanings


def test_every_recipe_is_one_in_python():
    python = {name.replace("_", "-") for name in mj.recipes.__all__} | {choices.MIXED}
    assert set(choices.RECIPES) <= python
    assert choices.RECIPES[2:] == choices.FITTED


def test_another_word_is_refused_with_those_that_there_are():
    assert choices.one_of("--rule", "mse", choices.RULES) == "mse"
    with pytest.raises(SettingError, match=r"--rule: is 'guess'\n  use one of min-max, percentile-99\.9"):
        choices.one_of("--rule", "guess", choices.RULES)


def test_a_metric_may_be_left_out_but_not_be_unknown():
    choices.check_metric(None)
    choices.check_metric("top1")
    with pytest.raises(SettingError, match="--metric: is 'beauty'"):
        choices.check_metric("beauty")
