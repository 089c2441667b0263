import time

import torch
from torch import nn

from microjoule.capture.export import capture
from microjoule.recipes.preparation import example_range, run_record


def test_the_range_of_the_example_inputs():
    network = capture(nn.Sequential(nn.Linear(2, 1)), torch.tensor([[-2.0, 1.0], [0.5, 3.0]]))
    assert example_range(network) == (-2.0, 3.0)


def test_a_run_is_noted_with_what_it_was_given():
    record = run_record("gptq", {"target": "xnnpack", "weights": 4, "layers": {}, "rule": None}, 7, time.perf_counter())
    assert (record.recipe, record.settings, record.seed) == ("gptq", {"target": "xnnpack", "weights": "4"}, 7)
    assert 0 <= record.seconds < 60
