"""Cases of operators come out the same or are refused; the figures say what was found."""

import json
import random

import pytest

from benchmarks import operators
from benchmarks.operator_trials import BROKEN, DIFFERENT, STEPS, outcomes
from benchmarks.operators import MET_IN_MODELS, NO_VALUES, OPERATORS, cases, figures, told

SAMPLED, AT_ONCE = 60, 12


@pytest.fixture(scope="module")
def sampled():
    known = list(cases().items())
    return random.Random(16).sample(known, SAMPLED)


@pytest.mark.survey
@pytest.mark.parametrize("first", range(0, SAMPLED, AT_ONCE))
def test_a_sample_of_cases_differs_nowhere(sampled, first):
    found = outcomes([case for _, case in sampled[first : first + AT_ONCE]])
    wrong = {
        (name, step, outcome)
        for name, one in found.items()
        for step, outcome in one.items()
        if outcome.startswith((DIFFERENT, BROKEN))
    }
    assert wrong == set()


def test_every_overload_that_models_have_is_tried_with_every_attribute():
    names = {operator.name for operator in OPERATORS}
    assert set(json.loads(MET_IN_MODELS.read_text())) - NO_VALUES <= names
    assert {operator.name: operator.unnamed() for operator in OPERATORS if operator.unnamed()} == {}


def test_attributes_are_off_their_defaults_alone_and_in_pairs():
    pool = next(one for one in OPERATORS if one.name == "max_pool2d.default")
    changed = [case.changed for case in pool.cases()]
    assert len(set(changed)) > 8
    assert any("ceil_mode=True" in one and "padding" in one for one in changed)


def test_what_is_wrong_is_counted_step_by_step():
    found = {
        "a": dict.fromkeys(STEPS, "same"),
        "b": {STEPS[0]: "same", STEPS[1]: "different: 3 dB"},
        "c": {STEPS[0]: "refused: no"},
        "d": {STEPS[0]: "broken: KeyError"},
    }
    whole, first, second, *_ = told(found)
    assert whole.value == 4
    assert (first.value, first.unit, first.state) == (1, "of 4 cases", "missed")
    assert first.compared_with == "2 the same, 1 refused; d"
    assert (second.value, second.compared_with) == (1, "1 the same, 0 refused; b")


@pytest.mark.slow
def test_each_group_is_walked_once(monkeypatch, tmp_path):
    first = dict(list(cases().items())[:1])
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("x")
    monkeypatch.setattr(operators, "cases", lambda: first)
    monkeypatch.setattr(operators.os, "cpu_count", lambda: 1)
    monkeypatch.setattr(operators.tempfile, "gettempdir", lambda: str(tmp_path))
    found = list(figures(tmp_path / "data"))
    assert (found[0].value, found[-1].name, found[-1].value) == (
        1,
        "overloads met in models that no case tries",
        0,
    )
    monkeypatch.setattr(operators, "outcomes", lambda *_: pytest.fail("walked again"))
    assert list(figures(tmp_path / "data")) == found
