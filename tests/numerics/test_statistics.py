import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from microjoule.errors import DataError, SettingError
from microjoule.numerics.statistics import (
    BINS,
    SAMPLE,
    Histogram,
    Moments,
    RunningRange,
    bin_exponent,
    bin_of,
    in_memory_order,
    sample_stride,
)

seeds = st.integers(0, 2**31)
floats = st.floats(-(2.0**100), 2.0**100, width=32)
batch_lists = st.lists(st.lists(floats, min_size=1, max_size=6), min_size=1, max_size=6)


def random(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def histogram_of(*batches: torch.Tensor) -> Histogram:
    histogram = Histogram()
    for batch in batches:
        histogram.update(batch)
    return histogram


def content(histogram: Histogram) -> tuple[object, ...]:
    rows = histogram.distribution()
    return histogram.low, histogram.high, histogram.seen, histogram.width, rows.values.tolist(), rows.counts.tolist()


# Moments -----------------------------------------------------------------------------------------


def test_moments_by_hand():
    moments = Moments(axis=1)
    moments.update(torch.tensor([[1.0, 10.0], [3.0, 10.0]]))
    moments.update(torch.tensor([[8.0, 10.0]]))
    assert moments.count == 3
    assert moments.mean.tolist() == [4.0, 10.0]
    assert moments.variance.tolist() == pytest.approx([26 / 3, 0.0])


@given(
    seed=seeds,
    sizes=st.lists(st.integers(1, 9), min_size=2, max_size=6),
    cut=st.integers(0, 6),
    offset=st.floats(-1e6, 1e6),
)
def test_moments_of_parts_merge_to_those_of_the_whole(seed, sizes, cut, offset):
    x = random(seed, sum(sizes), 3, 2) + offset
    first, second = Moments(axis=1), Moments(axis=1)
    for number, part in enumerate(x.split(sizes)):
        (first if number < cut else second).update(part)
    first.merge(second)
    assert first.count == sum(sizes) * 2
    assert_close(first.mean, x.mean((0, 2)))
    assert_close(first.variance, x.var((0, 2), correction=0), rtol=1e-6, atol=1e-6)


def test_a_large_mean_does_not_drown_the_variance():
    moments = Moments()
    for start in (0, 2):
        moments.update(1e9 + torch.tensor([0.0, 1.0], dtype=torch.float64) + start)
    assert moments.variance.item() == 1.25


def test_the_last_axis_may_be_given_from_the_end():
    x = torch.tensor([[1.0, 10.0], [3.0, 20.0]])
    moments, running = Moments(axis=-1), RunningRange(axis=-1)
    moments.update(x)
    running.update(x)
    assert moments.mean.tolist() == [2.0, 15.0]
    assert (running.low.tolist(), running.high.tolist()) == ([1.0, 10.0], [3.0, 20.0])


def test_moments_of_one_value_a_channel():
    moments = Moments(axis=0)
    moments.update(torch.tensor([1.0, 2.0]))
    assert (moments.count, moments.mean.tolist(), moments.variance.tolist()) == (1, [1.0, 2.0], [0.0, 0.0])


# Histogram ---------------------------------------------------------------------------------------


def test_histogram_by_hand():
    histogram = histogram_of(torch.tensor([0.0, 0.5, 1.0, 1.0, 2047.0]))
    rows = histogram.distribution()
    assert (histogram.low, histogram.high, histogram.width, histogram.seen) == (0.0, 2047.0, 1.0, 5)
    assert rows.values[0, [0, 1, 2047]].tolist() == [0.5, 1.5, 2047.5]
    assert rows.counts[0, [0, 1, 2047]].tolist() == [2.0, 2.0, 1.0]
    histogram.update(torch.tensor([-2.0, 2048.0]))
    rows = histogram.distribution()
    assert (histogram.low, histogram.high, histogram.width, histogram.seen) == (-2.0, 2048.0, 2.0, 7)
    assert rows.values[0, [0, 1]].tolist() == [-1.0, 1.0]
    assert rows.counts[0, [0, 1, 1024, 1025]].tolist() == [1.0, 4.0, 1.0, 1.0]
    assert (rows.low.tolist(), rows.high.tolist(), rows.width.tolist()) == ([-2.0], [2048.0], [2.0])


@given(batches=batch_lists, data=st.data())
def test_the_order_of_updates_and_merges_does_not_matter(batches, data):
    tensors = [torch.tensor(batch) for batch in batches]
    straight = histogram_of(*tensors)
    shuffled = data.draw(st.permutations(tensors))
    cut = data.draw(st.integers(0, len(shuffled)))
    merged = histogram_of(*shuffled[:cut])
    merged.merge(histogram_of(*shuffled[cut:]))
    assert content(merged) == content(straight)


@given(batches=batch_lists)
def test_a_histogram_of_small_batches_counts_each_value_in_its_bin(batches):
    histogram = histogram_of(*(torch.tensor(batch) for batch in batches))
    rows = histogram.distribution()
    values = torch.tensor([value for batch in batches for value in batch]).double()
    assert (histogram.low, histogram.high) == (float(values.min()), float(values.max()))
    left = rows.values[0] - histogram.width / 2
    inside = (values[:, None] >= left) & (values[:, None] < left + histogram.width)
    assert torch.equal(inside.sum(0).double(), rows.counts[0])


@given(low=floats, high=floats)
def test_the_bins_are_as_narrow_as_they_can_be(low, high):
    low, high = min(low, high), max(low, high)
    exponent = bin_exponent(low, high)
    assert bin_of(high, exponent) - bin_of(low, exponent) < BINS
    if high - low > 1e-3 * max(abs(low), abs(high)) > 1e-30:
        assert bin_of(high, exponent - 1) - bin_of(low, exponent - 1) >= BINS


@given(shape=st.lists(st.integers(1, 300), min_size=1, max_size=4))
def test_the_stride_is_coprime_to_every_size(shape):
    count = math.prod(shape)
    stride = sample_stride(count)
    assert math.ceil(count / stride) <= SAMPLE
    assert all(math.gcd(stride, size) == 1 for size in shape)
    assert stride == 1 or count > SAMPLE


def test_the_sample_visits_every_row_and_column_alike():
    x = torch.arange(512).expand(4, 16, 64, 512).contiguous()
    sample = x.view(-1)[:: sample_stride(x.numel())]
    visits = torch.bincount(sample, minlength=512)
    assert len(sample) <= SAMPLE
    assert visits.max() - visits.min() <= 2


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1), (3, 2, 1, 0)])
def test_a_large_tensor_is_sampled_but_its_ends_are_exact(order):
    x = random(0, 8, 32, 40, 40).float()
    x[3, 5, 7, 11], x[4, 4, 4, 4] = 31.0, -17.0
    histogram = histogram_of(x.permute(order))
    rows = histogram.distribution()
    assert (histogram.low, histogram.high, histogram.seen) == (-17.0, 31.0, x.numel())
    assert float(rows.counts.sum()) == pytest.approx(x.numel(), rel=1e-3)
    mean = (rows.values * rows.counts).sum() / rows.counts.sum()
    spread = (rows.values.square() * rows.counts).sum() / rows.counts.sum() - mean**2
    assert (float(mean), float(spread)) == pytest.approx((0, 1), abs=0.02)


def test_a_tensor_in_the_memory_order_of_images_is_not_copied():
    x = torch.zeros(2, 3, 4, 5).to(memory_format=torch.channels_last)
    assert in_memory_order(x).data_ptr() == x.data_ptr()


@pytest.mark.parametrize("value", [0.0, 1e-45, -3.25, 1e38, 16777217.0])
def test_a_constant_is_one_bin(value):
    rows = histogram_of(torch.full((5,), value)).distribution()
    assert rows.counts.tolist() == [[5.0]]
    assert rows.low.item() == rows.high.item() == torch.tensor(value).item()


@pytest.mark.parametrize("tiny", [1e-45, 1e-300, 5e-324])
def test_tiny_values_after_zeros_widen_the_range(tiny):
    zeros, values = torch.zeros(2, dtype=torch.float64), torch.tensor([tiny], dtype=torch.float64)
    assert content(histogram_of(zeros, values)) == content(histogram_of(values, zeros))


def test_the_whole_of_float32_fits():
    largest = torch.finfo(torch.float32).max
    rows = histogram_of(torch.tensor([-largest, 0.0, largest])).distribution()
    assert rows.counts.sum() == 3


def test_half_precision_is_counted():
    assert histogram_of(torch.tensor([1.0, 2.0]).bfloat16()).distribution().counts.sum() == 2


# Running range -----------------------------------------------------------------------------------


@given(
    ends=st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=1, max_size=8), momentum=st.floats(0, 0.99)
)
def test_the_running_range_is_the_closed_form(ends, momentum):
    running = RunningRange(momentum=momentum)
    for pair in ends:
        running.update(torch.tensor(pair, dtype=torch.float64))
    weights = [momentum ** (len(ends) - 1 - i) for i in range(len(ends))]
    low = sum(w * min(pair) for w, pair in zip(weights, ends, strict=True)) / sum(weights)
    high = sum(w * max(pair) for w, pair in zip(weights, ends, strict=True)) / sum(weights)
    assert (running.low.item(), running.high.item()) == pytest.approx((low, high), abs=1e-9)


def test_the_running_range_by_hand():
    running = RunningRange(axis=0, momentum=0.5)
    running.update(torch.tensor([[0.0, 3.0], [-2.0, 2.0]]))
    assert (running.low.tolist(), running.high.tolist()) == ([0.0, -2.0], [3.0, 2.0])
    running.update(torch.tensor([[-3.0, 6.0], [-2.0, 2.0]]))
    assert (running.low.tolist(), running.high.tolist()) == ([-2.0, -2.0], [5.0, 2.0])


@given(seed=seeds, count=st.integers(1, 7), cut=st.integers(0, 7))
def test_a_merged_running_range_is_that_of_the_whole_stream(seed, count, cut):
    batches = random(seed, count, 5, 3)
    straight, first, second = (RunningRange(axis=-1) for _ in range(3))
    for number, batch in enumerate(batches):
        straight.update(batch)
        (first if number < cut else second).update(batch)
    first.merge(second)
    assert first.batches == count
    assert_close(first.low, straight.low)
    assert_close(first.high, straight.high)


def test_no_momentum_keeps_the_last_batch_alone():
    running = RunningRange(momentum=0)
    for value in (1.0, 7.0):
        running.update(torch.tensor([value]))
    assert running.low.tolist() == running.high.tolist() == [7.0]


# Refusal -----------------------------------------------------------------------------------------


ALL = [Moments, Histogram, RunningRange]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("statistic", ALL)
def test_values_that_are_not_finite_are_refused_and_nothing_changes(statistic, bad):
    it = statistic()
    it.update(torch.tensor([1.0, 2.0]))
    with pytest.raises(DataError, match="the values hold NaN or infinity"):
        it.update(torch.tensor([1.0, bad, 2.0]))
    assert getattr(it, "count", 2) == 2
    assert getattr(it, "seen", 2) == 2
    assert getattr(it, "batches", 1) == 1


@pytest.mark.parametrize("statistic", ALL)
def test_an_empty_batch_is_refused(statistic):
    with pytest.raises(DataError, match=r"a batch of shape \(0, 3\) has no values"):
        statistic().update(torch.empty(0, 3))


@pytest.mark.parametrize("result", ["mean", "variance"])
def test_moments_of_nothing_are_refused(result):
    with pytest.raises(DataError, match="have seen no values"):
        getattr(Moments(), result)


def test_ranges_of_nothing_are_refused():
    with pytest.raises(DataError, match="have seen no values"):
        Histogram().distribution()
    with pytest.raises(DataError, match="have seen no values"):
        _ = RunningRange().low


@pytest.mark.parametrize("statistic", [Moments, RunningRange])
def test_batches_of_other_channels_are_refused(statistic):
    it = statistic(axis=1)
    it.update(torch.zeros(1, 3))
    with pytest.raises(DataError, match="a batch has 4 channels, expected 3"):
        it.update(torch.zeros(1, 4))


@pytest.mark.parametrize("statistic", ALL)
def test_merging_one_that_has_seen_nothing_changes_nothing(statistic):
    it = statistic()
    it.update(torch.tensor([1.0, 2.0]))
    before = vars(it).copy()
    it.merge(statistic())
    assert vars(it) == before


@pytest.mark.parametrize("momentum", [-0.1, 1.0, math.nan])
def test_a_momentum_outside_0_to_1_is_refused(momentum):
    with pytest.raises(SettingError, match="choose at least 0 and less than 1"):
        RunningRange(momentum=momentum)


def test_merging_another_momentum_is_refused():
    with pytest.raises(SettingError, match=r"0\.5 and 0\.9 differ"):
        RunningRange().merge(RunningRange(momentum=0.5))
