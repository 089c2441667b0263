"""Scores of compressed networks: what they are compared by, and their texts."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.execution.batches import batches
from microjoule.recipes.compression_scores import Scored, beside, by_metric, evaluated_of, parsed, scored_text
from microjoule.records.json_io import to_json

X = torch.randn(40, 6, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return mj.capture(nn.Linear(6, 4).eval(), X[:2])


@pytest.fixture(scope="module")
def score(network):
    return by_metric(batches((X, network(X).argmax(1))), mj.zoo.metric("top1"))


def test_a_metric_becomes_a_score(network, score):
    assert (score.name, score.unit, score.data) == ("top1", "%", "tuple")
    assert set(score.facts()) == {"metric", "labelled data", "labels of labelled data"}
    found = score.of(network.copy(), "compressed")
    assert (found.value, found.stage, found.samples) == (100, "compressed", 40)


def test_a_score_leaves_the_history_alone_and_is_not_compared_with_what_stands_there(network, score):
    own = network.copy()
    mj.evaluate(own, (X, network(X).argmax(1)), "top1")
    history = list(own.history)
    assert score.of(own, "compressed").compared is None
    assert own.history == history


def test_it_is_compared_with_the_original_where_both_are_of_the_same_samples(network, score):
    first, second = score.of(network.copy(), "original"), score.of(network.copy(), "compressed")
    found = beside(second, first)
    assert (found.compared.difference, found.compared.won, found.compared.reference) == (0.0, 0, "original")
    other = beside(second, replace(first, samples_id="other"))
    assert other.compared is None
    assert other.apart.endswith("in another order")
    function = replace(second, samples_id="")
    assert beside(function, first) == function


def test_the_larger_one_ranks_higher_unless_less_is_better(network, score):
    found = score.of(network.copy(), "compressed")
    assert Scored(found, 1.0, 0.1, 0.2, 50).rank == 100
    assert Scored(replace(found, higher_is_better=False), 1.0, 0.1, 0.2, 50).rank == -100


def test_a_score_comes_back_from_its_text(network, score):
    one = Scored(score.of(network.copy(), "compressed"), 1.0, 0.1, 0.2, 50)
    assert parsed(scored_text(one)) == one
    assert parsed('{"reason": "too little"}') == "too little"
    assert evaluated_of(to_json(one.evaluated)) == one.evaluated


def damaged(**changes):
    return lambda content: content | changes


@pytest.mark.parametrize(
    "damage",
    [
        damaged(loss="much"),
        damaged(evaluated={}),
        damaged(evaluated=[]),
        damaged(evaluated={"record": "Skipped", "name": "a", "reason": "b"}),
        lambda content: {name: value for name, value in content.items() if name != "cost"},
        lambda content: [content],
        lambda content: 5,
    ],
)
def test_what_is_no_score_is_told_from_one(network, score, damage):
    one = Scored(score.of(network.copy(), "compressed"), 1.0, 0.1, 0.2, 50)
    text = json.dumps(damage(json.loads(scored_text(one))))
    with pytest.raises((ValueError, TypeError, KeyError)):
        parsed(text)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"value": 1}'])
def test_what_is_no_evaluation_is_told_from_one(text):
    with pytest.raises(ValueError, match="it is no evaluation"):
        evaluated_of(text)
