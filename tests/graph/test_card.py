import json
from dataclasses import replace

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.errors import FileError, SettingError
from microjoule.graph.card import DATA, EXAMPLE, InputRange, ModelCard, card_of, metadata
from microjoule.graph.preprocessing import Preprocessing
from microjoule.records.facts import Run
from microjoule.records.machine import this_machine

UNIT = Preprocessing((0.0,), (1.0,))
FULL = ModelCard({"x": (-1.0, 2.0)}, UNIT, ("cat", "dog"), "top1", "pets", DATA)


def test_a_range_is_of_all_inputs_or_of_each():
    assert ModelCard((0, 1)).range_of("anything") == InputRange(0.0, 1.0, "declared")
    assert ModelCard({"a": (0, 1)}).range_of("a") == InputRange(0.0, 1.0, "declared")
    assert ModelCard({"a": (0, 1)}).range_of("b") is None
    assert ModelCard().range_of("a") is None


def test_a_declared_range_goes_before_that_of_the_preprocessing():
    assert ModelCard(preprocessing=UNIT).range_of("x") == InputRange(0.0, 1.0, "preprocessing")
    assert ModelCard((-3, 3), UNIT).range_of("x") == InputRange(-3.0, 3.0, "declared")
    assert FULL.range_of("other") == InputRange(0.0, 1.0, "preprocessing")


def test_the_range_of_an_example_is_no_knowledge():
    assert ModelCard((0, 1), origin=EXAMPLE).range_of("x") is None


def test_one_card_fills_in_what_another_lacks():
    assert ModelCard().over(FULL) == replace(FULL)
    labelled = ModelCard(labels=("a",)).over(FULL)
    assert (labelled.labels, labelled.range_of("x").origin) == (("a",), DATA)
    declared = ModelCard((5, 6)).over(FULL)
    assert declared.range_of("x") == InputRange(5.0, 6.0, "declared")
    prepared = ModelCard(preprocessing=replace(UNIT, std=(0.5,))).over(ModelCard((0, 9)))
    assert prepared.range_of("x") == InputRange(0.0, 2.0, "preprocessing")


@pytest.mark.parametrize("wrong", [(1, 0), (0, 0), (0, float("inf")), (0,), 3, "ab", (float("nan"), 1), {"x": (1, 0)}])
def test_a_range_that_is_none_is_refused(wrong):
    with pytest.raises(SettingError, match="input_range"):
        ModelCard(wrong)


def test_labels_are_texts_and_an_origin_is_a_known_one():
    assert ModelCard(labels=["a", "b"]).labels == ("a", "b")
    for wrong in ("ab", [1, 2]):
        with pytest.raises(SettingError, match="labels"):
            ModelCard(labels=wrong)
    with pytest.raises(SettingError, match="origin: is 'hearsay'"):
        ModelCard(origin="hearsay")


class Made:
    card = FULL
    history = (Run("naive", {}, 0, 1.0, this_machine()), Run("data_free", {}, 0, 1.0, this_machine()))


def test_metadata_is_plain_and_says_what_made_it():
    content = json.loads(json.dumps(metadata(Made())))
    assert content["recipe"] == "data_free"
    assert content["version"] == this_machine().versions["microjoule"]
    assert content["labels"] == ["cat", "dog"]
    assert card_of(content) == replace(FULL, recipe="data_free", version=content["version"])


def test_what_is_not_known_is_left_out():
    class Plain:
        card = ModelCard()
        history = ()

    assert set(metadata(Plain())) == {"origin", "version"}
    assert card_of({}) == ModelCard()


@pytest.mark.parametrize(
    "wrong",
    [[], {"code": 1}, {"labels": 3}, {"labels": [1]}, {"name": 1}, {"input_range": {"x": "y"}}, {"preprocessing": 1}],
)
def test_what_is_no_card_is_not_read(wrong):
    with pytest.raises((ValueError, TypeError, AttributeError)):
        card_of(wrong)


def test_a_network_keeps_its_card_in_copies_and_files(tmp_path):
    network = mj.capture(nn.Linear(2, 2), torch.zeros(1, 2), card=FULL)
    assert network.card == FULL
    assert network.copy().card == FULL
    network.save(tmp_path / "a.mj")
    again = mj.load(tmp_path / "a.mj")
    assert replace(again.card, version=None) == FULL
    assert again.card.version is not None


def test_a_file_with_another_card_is_refused(tmp_path, monkeypatch):
    network = mj.capture(nn.Linear(2, 2), torch.zeros(1, 2))
    monkeypatch.setattr("microjoule.graph.file.write.metadata", lambda network: {"labels": 3})
    network.save(tmp_path / "a.mj")
    with pytest.raises(FileError, match="does not hang together"):
        mj.load(tmp_path / "a.mj")
