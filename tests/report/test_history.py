from dataclasses import replace
from typing import get_args

import pytest

from microjoule.records.facts import ConcatenationsSplit, Equalized, Record, Run, Skipped
from microjoule.records.measured import Verified
from microjoule.report.history import history, machine, settings
from tests.report.samples import MACHINE, records, scheduled


@pytest.mark.parametrize("kind", get_args(Record), ids=lambda kind: kind.__name__)
def test_every_kind_of_record_has_words(kind):
    record = next(record for record in records() if isinstance(record, kind))
    (step,) = history([record])
    assert step.title
    assert step.summary


def test_the_steps_keep_their_order_and_say_what_was_skipped():
    steps = history(records())
    assert [step.title for step in steps][:3] == ["Captured", "Folded batch norms", "Folded constant channels"]
    equalized = next(step for step in steps if step.title.startswith("Equalized"))
    assert equalized.summary == "6 groups of layers in 14 sweeps"
    assert [place.place for place in equalized.skipped] == ["blocks.6.project.conv -> classifier"]
    assert ("a cap a channel", "stem.conv") in equalized.details


def test_one_is_singular():
    (step,) = history([Equalized({"a -> b": (0.5, 2.0)}, 1, 0.0, (), (Skipped("c", "why"),))])
    assert step.summary == "1 group of layers in 1 sweep"
    assert ("a -> b", "scales 0.500 to 2.00") in step.details


def test_a_departure_is_named():
    (step,) = history([Verified("integer runner", "x", 2, (), "conv", None)])
    assert step.summary == "integer runner, 2 samples. integer runner: conv departs first."


def test_settings_and_machine_are_told_whole():
    run = Run("data_free", {"target": "onnxruntime"}, None, 3.0, MACHINE)
    assert settings(run) == [("recipe", "data_free"), ("target", "onnxruntime"), ("seed", "none"), ("time", "3.00 s")]
    assert ("cores", "2") in machine(MACHINE)
    assert ("torch", "2.13.0") in machine(MACHINE)


def test_an_order_is_told_with_its_proof():
    (step,) = history([scheduled()])
    assert step.summary == "The peak falls from 7.68 kB to 5.63 kB, by 27 %."
    assert [name for name, _ in step.details] == ["sizes", "proof", "arena", "states", "time"]
    assert dict(step.details)["proof"].startswith("No order can do better")


def test_an_order_says_what_was_assumed():
    (step,) = history([replace(scheduled(), accumulates=True)])
    assert dict(step.details)["sizes"] == "as deployed, by a runtime whose convolutions add to sums in place"
    assert dict(history([scheduled()])[0].details)["sizes"] == "as deployed"


def test_split_layers_are_told_with_what_their_parts_read():
    (step,) = history([ConcatenationsSplit({"a": ("x", "y")}, {"b": ("x", "y", "z")}, (Skipped("c", "why"),))])
    assert step.summary == "2 layers into 5, one a branch"
    assert step.details == (("a", "added: x, y"), ("b", "concatenated: x, y, z"))
    assert step.skipped == (Skipped("c", "why"),)
