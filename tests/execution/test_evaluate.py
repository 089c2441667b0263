import pytest
import torch
from torch import nn

from microjoule.capture.export import capture
from microjoule.errors import DataError
from microjoule.execution.evaluate import evaluate
from tests.capture.models import images


class MeanOutput:
    """The mean of outputs minus targets, and how often it was asked what."""

    name = "mean difference"
    unit = "V"

    def __init__(self):
        self.values = [torch.tensor([1e9])]
        self.batches = 0

    def update(self, outputs, targets):
        self.values.append((outputs[:, 0] - targets).detach())
        self.batches += 1

    def compute(self):
        return torch.cat(self.values).mean().item()

    def reset(self):
        self.values = []


X, Y = images(7, 4), torch.arange(7.0)


def module():
    torch.manual_seed(0)
    return nn.Linear(4, 1)


def test_the_record_says_what_was_measured_on_what():
    network = capture(module(), images(2, 4))
    record = evaluate(network, (X, Y), MeanOutput(), stage="int8")
    assert record.value == pytest.approx((network(X)[:, 0] - Y).mean().item(), rel=1e-5)
    assert (record.stage, record.metric, record.unit, record.samples) == ("int8", "mean difference", "V", 7)
    assert record.seconds > 0
    assert network.history[-1] is record


@pytest.mark.parametrize("size", [1, 3, 7])
def test_batches_do_not_matter_and_the_metric_starts_anew(size):
    metric = MeanOutput()
    record = evaluate(module(), (X, Y), metric, batch_size=size)
    assert metric.batches == -(-7 // size)
    assert record.value == pytest.approx((module()(X)[:, 0] - Y).mean().item(), rel=1e-5)


def test_a_plain_module_is_evaluated_without_gradients():
    seen = []

    class Watching(MeanOutput):
        def update(self, outputs, targets):
            seen.append(outputs.requires_grad)
            super().update(outputs, targets)

    evaluate(module(), (X, Y), Watching())
    assert seen == [False]


def test_a_module_without_parameters_is_evaluated():
    assert evaluate(nn.Flatten(), (X, Y), MeanOutput()).samples == 7


def test_data_without_labels_is_refused():
    with pytest.raises(DataError, match="has no targets"):
        evaluate(module(), X, MeanOutput())
