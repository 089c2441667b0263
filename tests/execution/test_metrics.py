"""Metrics by hand, and merging them."""

import math

import pytest
import torch

from microjoule import zoo
from microjoule.errors import DataError, SettingError


def test_top1_by_hand() -> None:
    metric = zoo.metric("top1")
    metric.update(torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([1, 1]))
    metric.update(torch.tensor([[0.0, 1.0]]), torch.tensor([1]))
    assert metric.compute() == pytest.approx(200 / 3)


@pytest.mark.parametrize("labels", [[0, 2], [-1, 1]])
def test_a_label_that_is_no_class_is_refused(labels: list[int]) -> None:
    with pytest.raises(DataError, match=f"has labels {min(labels)} to {max(labels)}, the network 2 classes"):
        zoo.metric("top1").update(torch.zeros(2, 2), torch.tensor(labels))


def test_miou_by_hand() -> None:
    metric = zoo.metric("miou")
    truth = torch.tensor([[[0, 0], [1, 255]]])
    said = torch.tensor([[0, 1], [1, 0]])
    metric.update(torch.nn.functional.one_hot(said, 3).permute(2, 0, 1)[None].float(), truth)
    # class 0: 1 of 2; class 1: 1 of 2; class 2 does not occur; the last pixel is ignored
    assert metric.compute() == pytest.approx(50)
    assert metric.pixel_accuracy() == pytest.approx(200 / 3)


def test_coarse_scores_are_interpolated_to_the_mask() -> None:
    metric = zoo.metric("miou")
    scores = torch.tensor([[[[0.0, 1.0]], [[1.0, 0.0]]]])  # left: class 1, right: class 0
    metric.update(scores, torch.tensor([[[1, 1, 0, 0]]]))
    assert metric.compute() == 100


def test_a_target_beyond_the_classes_is_refused() -> None:
    with pytest.raises(DataError, match="has targets 2 to 2, the network 2 classes"):
        zoo.metric("miou").update(torch.zeros(1, 2, 1, 1), torch.tensor([[[2]]]))


def test_psnr_by_hand() -> None:
    metric = zoo.metric("psnr")
    target = torch.full((1, 1, 6, 6), 0.5)
    output = target + 0.1
    output[:, :, 0] = 9  # the border does not count
    metric.update(output, target)
    assert metric.compute() == pytest.approx(20, abs=1e-4)


def test_psnr_of_the_same_image_is_infinite() -> None:
    metric = zoo.metric("psnr")
    metric.update(torch.zeros(1, 1, 6, 6), torch.zeros(1, 1, 6, 6))
    assert metric.compute() == math.inf


@pytest.mark.parametrize("name", ["top1", "miou", "psnr"])
def test_two_halves_merged_are_the_whole(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    outputs = torch.rand(6, 4, generator=generator)
    targets = torch.randint(4, (6,), generator=generator)
    if name == "miou":
        outputs, targets = torch.rand(6, 4, 3, 3, generator=generator), torch.randint(4, (6, 3, 3), generator=generator)
    if name == "psnr":
        outputs, targets = torch.rand(2, 6, 1, 8, 8, generator=generator)
    whole, first, second = (zoo.metric(name) for _ in range(3))
    whole.update(outputs, targets)
    first.update(outputs[:2], targets[:2])
    second.update(outputs[2:], targets[2:])
    empty = zoo.metric(name)
    empty.merge(first)
    empty.merge(second)
    assert empty.compute() == pytest.approx(whole.compute())
    whole.reset()
    with pytest.raises(DataError, match="has seen no samples"):
        whole.compute()


@pytest.mark.parametrize("name", ["top1", "miou", "psnr"])
def test_outputs_that_do_not_fit_are_refused(name: str) -> None:
    with pytest.raises(DataError, match=r"outputs of shape \(2, 3, 4\) and targets of shape \(2,\)"):
        zoo.metric(name).update(torch.zeros(2, 3, 4), torch.zeros(2))


def test_an_unknown_metric_names_those_there_are() -> None:
    with pytest.raises(SettingError, match="choose one of top1, miou, psnr, ap50"):
        zoo.metric("f1")


def test_top1_scores_each_sample() -> None:
    metric = zoo.metric("top1")
    metric.update(torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([1, 1]))
    metric.update(torch.tensor([[0.0, 1.0]]), torch.tensor([1]))
    assert metric.sample_scores() == [100.0, 0.0, 100.0]


def test_psnr_scores_each_image() -> None:
    metric = zoo.metric("psnr")
    target = torch.full((2, 1, 6, 6), 0.5)
    metric.update(target + torch.tensor([0.1, 0.01]).reshape(2, 1, 1, 1), target)
    assert metric.sample_scores() == pytest.approx([20, 40], abs=1e-3)


@pytest.mark.parametrize("parts", [5, 2, 1])
def test_miou_without_each_part_is_that_of_the_others(parts: int) -> None:
    generator = torch.Generator().manual_seed(0)
    outputs = torch.rand(5, 3, 4, 4, generator=generator)
    targets = torch.randint(3, (5, 4, 4), generator=generator)
    targets[3] = 2  # another number of pixels of each class
    whole = zoo.metric("miou")
    whole.update(outputs, targets)
    edges = [5 * part // parts for part in range(parts + 1)]
    for without, start, end in zip(whole.leave_out(parts), edges, edges[1:], strict=False):
        others = zoo.metric("miou")
        others.update(outputs[[*range(start), *range(end, 5)]], targets[[*range(start), *range(end, 5)]])
        assert math.isnan(without) if parts == 1 else without == others.compute()


def test_another_number_of_classes_is_refused() -> None:
    metric = zoo.metric("miou")
    metric.update(torch.zeros(1, 2, 1, 1), torch.zeros(1, 1, 1).long())
    with pytest.raises(DataError, match="got 3 classes after 2"):
        metric.update(torch.zeros(1, 3, 1, 1), torch.zeros(1, 1, 1).long())


def test_a_target_below_the_classes_is_refused() -> None:
    with pytest.raises(DataError, match="has targets -1 to 1, the network 2 classes"):
        zoo.metric("miou").update(torch.zeros(1, 2, 1, 2), torch.tensor([[[-1, 1]]]))


@pytest.mark.parametrize("target", [0.5, math.nan])
@pytest.mark.parametrize(("name", "shape"), [("top1", (2, 3)), ("miou", (2, 3, 1, 1))])
def test_targets_between_classes_are_refused(name: str, shape: tuple[int, ...], target: float) -> None:
    targets = torch.full((2, *shape[2:]), 1.0)
    zoo.metric(name).update(torch.zeros(shape), targets)
    targets[1] = target
    with pytest.raises(DataError, match="targets that are no whole numbers"):
        zoo.metric(name).update(torch.zeros(shape), targets)


@pytest.mark.parametrize(("name", "shape"), [("top1", (3, 2)), ("miou", (3, 2, 8, 8)), ("psnr", (3, 1, 8, 8))])
def test_a_network_that_gives_nan_has_no_score(name: str, shape: tuple[int, ...]) -> None:
    outputs = torch.zeros(shape)
    outputs[1].view(-1)[0] = math.nan
    targets = torch.zeros(shape) if name == "psnr" else torch.zeros(3, *shape[2:]).long()
    with pytest.raises(DataError, match="got NaN from the network for 1 of 3 samples"):
        zoo.metric(name).update(outputs, targets)


@pytest.mark.parametrize("target", [-0.01, 255.0, math.nan])
def test_psnr_is_of_values_from_0_to_1(target: float) -> None:
    with pytest.raises(DataError, match="expected 0 to 1"):
        zoo.metric("psnr").update(torch.zeros(1, 1, 6, 6), torch.full((1, 1, 6, 6), target))
