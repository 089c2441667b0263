from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from microjoule.capture.export import capture
from microjoule.errors import DataError, SettingError
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


# Beside another network -----------------------------------------------------------------------------------------------

PIXELS, LABELS = torch.rand(40, 4, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 3


def classifier(seed=0):
    torch.manual_seed(seed)
    return capture(nn.Linear(4, 3), images(2, 4))


def changed(network):
    """A copy that takes some samples for other classes."""
    found = network.copy()
    with torch.no_grad():
        for values in found.module.parameters():
            values.add_(0.3 * torch.randn(values.shape, generator=torch.Generator().manual_seed(1)))
    return found


def right(network):
    return network(PIXELS).argmax(1) == LABELS


def test_a_stage_is_called_by_what_was_done():
    assert evaluate(classifier(), (PIXELS, LABELS), "top1").stage == "fp32"
    assert evaluate(classifier().module, (PIXELS, LABELS), "top1").stage == "fp32"


def test_the_score_in_floating_point_is_found_in_the_history():
    network = classifier()
    exact = evaluate(network, (PIXELS, LABELS), "top1")
    assert (exact.compared, exact.apart) == (None, "")
    other = changed(network)
    found = evaluate(other, (PIXELS, LABELS), "top1", stage="int8", batch_size=7)
    won, lost = int((right(other) & ~right(network)).sum()), int((right(network) & ~right(other)).sum())
    assert won + lost > 0
    assert (found.compared.won, found.compared.lost, found.compared.reference) == (won, lost, "fp32")
    assert found.compared.difference == found.value - exact.value
    assert other.history[-2:] == [exact, found]


def test_of_several_scores_the_last_on_the_same_samples_counts():
    network = classifier()
    evaluate(network, (PIXELS, LABELS), "top1")
    exact = evaluate(network, (PIXELS, LABELS), "top1", stage="original")
    evaluate(network, (PIXELS[:5], LABELS[:5]), "top1")
    evaluate(network, (PIXELS, LABELS), lambda y, t: y[:, 0])
    assert evaluate(network, (PIXELS, LABELS), "top1", stage="int8").compared.reference == exact.stage


def test_a_score_of_other_samples_is_left_out_with_the_reason():
    network = classifier()
    evaluate(network, (PIXELS[:5], LABELS[:5]), "top1")
    found = evaluate(network, (PIXELS, LABELS), "top1", stage="int8")
    assert found.compared is None
    assert found.apart == "one is scored on 40 samples, the other on 5"
    evaluate(network, (PIXELS + 0.1, LABELS), "top1")
    found = evaluate(network, (PIXELS, LABELS), "top1", stage="int8")
    assert found.apart == "they are scored on other samples, or on the same ones in another order"
    assert evaluate(network, (PIXELS, LABELS), lambda y, t: y[:, 0], stage="int8").apart == ""


def test_a_reference_is_scored_too():
    network = classifier()
    other, history = changed(network), list(network.history)
    found = evaluate(other, (PIXELS, LABELS), "top1", stage="int8", reference=network)
    exact = network.history[-1]
    assert network.history == [*history, exact]
    assert exact == replace(evaluate(network, (PIXELS, LABELS), "top1"), seconds=exact.seconds)
    assert (found.compared.reference_value, found.compared.reference) == (exact.value, "fp32")
    assert other.history[-2:] == [exact, found]
    plain = evaluate(other.module, (PIXELS, LABELS), "top1", stage="int8", reference=network.module)
    assert plain.compared == found.compared


def test_a_record_is_a_reference_for_what_is_in_floating_point_too():
    network = classifier()
    exact = evaluate(network, (PIXELS, LABELS), "top1")
    found = evaluate(network, (PIXELS, LABELS), "top1", reference=exact)
    assert (found.compared.difference, found.compared.won, found.compared.lost) == (0.0, 0, 0)
    assert network.history.count(exact) == 1


def test_a_reference_of_other_samples_is_refused():
    network = classifier()
    exact = evaluate(network, (PIXELS[:5], LABELS[:5]), "top1")
    with pytest.raises(DataError, match="int8 against fp32: one is scored on 40 samples, the other on 5"):
        evaluate(network, (PIXELS, LABELS), "top1", stage="int8", reference=exact)
    with pytest.raises(SettingError, match=r"reference: is a str\n.*give a network"):
        evaluate(network, (PIXELS, LABELS), "top1", reference="fp32")


def test_shuffled_samples_are_never_paired():
    network = classifier()
    chance = torch.Generator().manual_seed(0)
    loader = DataLoader(TensorDataset(PIXELS, LABELS), batch_size=8, shuffle=True, generator=chance)
    evaluate(network, loader, "top1")
    assert evaluate(network, loader, "top1", stage="int8").apart.endswith("in another order")


def test_a_metric_without_scores_gives_a_difference_without_an_error():
    network = capture(module(), images(2, 4))
    evaluate(network, (X, Y), MeanOutput())
    found = evaluate(network, (X, Y), MeanOutput(), stage="int8").compared
    assert (found.difference, found.standard_error, found.verdict) == (0.0, None, "error unknown")


def test_a_name_that_is_no_metric_is_refused():
    with pytest.raises(SettingError, match="metric: there is no 'accuracy'\n  choose one of top1"):
        evaluate(classifier(), (PIXELS, LABELS), "accuracy")
