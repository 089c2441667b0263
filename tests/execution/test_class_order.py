import numpy as np
import pytest
import torch

from microjoule.execution.class_order import ClassOrder, other_order


def scores(predicted, classes):
    return torch.nn.functional.one_hot(torch.as_tensor(predicted), classes).float()


def noticed(predicted, labels, classes, *, trained=True):
    order = ClassOrder("data")
    order.update(scores(predicted, classes), torch.as_tensor(labels))
    return list(order.notices(trained=trained))


def test_labels_that_begin_at_one_are_told_with_both_shares():
    predicted = np.arange(200) % 10
    assert other_order(predicted, predicted + 1, 10) == ("if labels begin at 1", 1.0)
    (one,) = noticed(predicted, predicted + 1, 10)
    assert one.fact == "0.0% of the labels are predicted, and 100.0% if labels begin at 1"
    assert "--classes" in one.remedy


def test_a_background_class_is_told():
    predicted = np.arange(200) % 10 + 1
    words, share = other_order(predicted, predicted - 1, 11)
    assert "background" in words
    assert share == 1.0


@pytest.mark.parametrize("numbered", ["labels", "network"])
def test_numbers_that_were_sorted_as_words_are_told(numbered):
    as_words = np.array(sorted(range(12), key=str))  # 0, 1, 10, 11, 2, ...
    position = np.argsort(as_words)
    classes = np.arange(240) % 12
    predicted, labels = (classes, position[classes]) if numbered == "labels" else (position[classes], classes)
    words, share = other_order(predicted, labels, 12)
    assert "sorted as words" in words
    assert ("network's" in words) == (numbered == "network")
    assert share == 1.0


def test_any_other_order_is_found_on_one_half_and_scored_on_the_other():
    order = np.random.default_rng(0).permutation(10)
    classes = np.random.default_rng(1).integers(0, 10, 400)
    words, share = other_order(classes, order[classes], 10)
    assert words == "if classes are numbered in another order"
    assert share == 1.0


def test_a_right_network_and_a_network_at_random_have_no_other_order():
    drawn = np.random.default_rng(2)
    classes, others = drawn.integers(0, 10, 400), drawn.integers(0, 10, 400)
    assert other_order(classes, classes, 10) is None
    assert other_order(classes, others, 10) is None


def test_chance_is_told_of_a_network_as_it_was_trained_alone():
    drawn = np.random.default_rng(2)
    predicted, labels = drawn.integers(0, 10, 400), drawn.integers(0, 10, 400)
    (one,) = noticed(predicted, labels, 10)
    assert "no better than chance" in one.fact
    assert noticed(predicted, labels, 10, trained=False) == []
    assert noticed(labels, labels, 10) == []


@pytest.mark.parametrize(
    ("outputs", "targets"),
    [
        (torch.zeros(200, 10, 4), torch.zeros(200, dtype=torch.long)),
        (torch.zeros(200, 10), torch.zeros(200)),
        (torch.zeros(200, 10), torch.zeros(200, 10, dtype=torch.long)),
        (torch.zeros(200, 1), torch.zeros(200, dtype=torch.long)),
        ((torch.zeros(200, 10),), torch.zeros(200, dtype=torch.long)),
        (torch.zeros(99, 10), torch.arange(99) % 10),
        (torch.zeros(200, 10), torch.zeros(200, dtype=torch.long)),
    ],
    ids=["maps", "numbers", "several", "one score", "tuple", "few samples", "one class"],
)
def test_what_tells_nothing_of_an_order_is_left_alone(outputs, targets):
    order = ClassOrder("data")
    order.update(outputs, targets)
    assert list(order.notices(trained=True)) == []
