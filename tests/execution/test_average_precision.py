"""Average precision by hand."""

import pytest
import torch

from microjoule import zoo
from microjoule.errors import DataError
from microjoule.execution.average_precision import Boxes, Detections, average_precision, overlaps

SQUARE = torch.tensor([[0.0, 0.0, 2.0, 2.0]])


def test_overlaps_by_hand() -> None:
    others = torch.tensor([[0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 3.0, 2.0], [2.0, 2.0, 3.0, 3.0]])
    torch.testing.assert_close(overlaps(SQUARE, others), torch.tensor([[1.0, 1 / 3, 0.0]]))


def test_precision_over_recall_by_hand() -> None:
    # right, wrong, right of three true boxes: 1/3 * 1 + 1/3 * 2/3
    right, scores = torch.tensor([True, False, True]), torch.tensor([0.9, 0.8, 0.7])
    assert average_precision(right, scores, 3) == pytest.approx(5 / 9)


def test_order_of_the_detections_does_not_matter() -> None:
    right, scores = torch.tensor([True, True, False]), torch.tensor([0.7, 0.9, 0.8])
    assert average_precision(right, scores, 3) == pytest.approx(5 / 9)


def test_a_box_found_twice_counts_once() -> None:
    metric = zoo.metric("ap50")
    twice = Detections(SQUARE.repeat(2, 1), torch.tensor([1, 1]), torch.tensor([0.9, 0.8]))
    metric.update([twice], [Boxes(torch.cat([SQUARE, SQUARE + 5]), torch.tensor([1, 1]))])
    assert metric.compute() == pytest.approx(50)


def test_classes_count_the_same_and_a_class_never_found_counts_zero() -> None:
    metric = zoo.metric("ap50")
    found = Detections(SQUARE, torch.tensor([1]), torch.tensor([0.9]))
    metric.update([found], [Boxes(SQUARE.repeat(2, 1), torch.tensor([1, 2]))])
    assert metric.compute() == pytest.approx(50)


def test_partial_results_merge() -> None:
    first, second = zoo.metric("ap50"), zoo.metric("ap50")
    truth = Boxes(SQUARE, torch.tensor([0]))
    first.update([Detections(SQUARE, torch.tensor([0]), torch.tensor([0.9]))], [truth])
    second.update([Detections(SQUARE + 9, torch.tensor([0]), torch.tensor([0.95]))], [truth])
    first.merge(second)
    assert first.compute() == pytest.approx(25)


def test_nothing_to_find_is_refused() -> None:
    with pytest.raises(DataError, match="has seen no true boxes"):
        zoo.metric("ap50").compute()


def test_as_many_images_must_be_found_as_true() -> None:
    with pytest.raises(DataError, match="got 0 images found and 1 true"):
        zoo.metric("ap50").update([], [Boxes(SQUARE, torch.tensor([0]))])


def drawn(images: int) -> tuple[list[Detections], list[Boxes]]:
    """Boxes of three classes, some found, some not, some found where there is none."""
    draws = torch.Generator().manual_seed(0)
    found, true = [], []
    for number in range(images):
        count = number % 3
        corners = torch.rand(count, 2, generator=draws).repeat(1, 2) * 5 + torch.tensor([0.0, 0.0, 2.0, 2.0])
        classes = torch.randint(3, (count,), generator=draws)
        true.append(Boxes(corners, classes))
        more = torch.cat([corners + 0.3 * torch.rand(count, 4, generator=draws), SQUARE + 9])
        found.append(
            Detections(more, torch.cat([classes, torch.tensor([1])]), torch.rand(count + 1, generator=draws).float())
        )
    return found, true


@pytest.mark.parametrize("parts", [9, 4])
def test_without_each_part_it_is_that_of_the_others(parts: int) -> None:
    found, true = drawn(9)
    whole = zoo.metric("ap50")
    whole.update(found, true)
    edges = [9 * part // parts for part in range(parts + 1)]
    for without, start, end in zip(whole.leave_out(parts), edges, edges[1:], strict=False):
        others = zoo.metric("ap50")
        others.update(found[:start] + found[end:], true[:start] + true[end:])
        assert without == pytest.approx(others.compute(), abs=1e-9)
    assert len(set(whole.leave_out(parts))) > 2


def test_a_class_that_only_one_image_has_is_gone_without_it() -> None:
    metric = zoo.metric("ap50")
    hit = Detections(SQUARE, torch.tensor([0]), torch.tensor([0.9]))
    metric.update([hit, hit], [Boxes(SQUARE, torch.tensor([0])), Boxes(SQUARE, torch.tensor([1]))])
    assert metric.leave_out(2) == [0.0, 100.0]
