import pytest

from microjoule.records.facts import Spread, WeightRanges
from microjoule.report.weight_plots import (
    MOST_BOXES,
    channels_at_both,
    imbalance,
    imbalance_by_layer,
    reach,
    weights_by_layer,
)


def channel(low, high):
    return Spread(low, low / 2, 0.0, high / 2, high)


WIDE = WeightRanges("before", {"a": (channel(-1, 1), channel(-1, 1), channel(-8, 2)), "b": (channel(-1, 1),)})
EVEN = WeightRanges("after", {"a": (channel(-1, 1), channel(-1, 1), channel(-2, 1)), "b": (channel(-1, 1),)})


def test_a_channel_reaches_as_far_as_its_larger_side():
    assert reach(channel(-8, 2)) == 8
    assert reach(channel(0, 3)) == 3


def test_imbalance_by_hand():
    assert imbalance(WIDE.layers["a"]) == 8
    assert imbalance(WIDE.layers["b"]) == 1


def test_a_dead_channel_does_not_move_the_median():
    assert imbalance((channel(0, 0), channel(0, 0), channel(-1, 1), channel(-3, 1))) == 1.5
    assert imbalance((channel(0, 0),)) is None
    assert imbalance(()) is None


def test_the_worst_layer_is_shown_first():
    plot = weights_by_layer(WeightRanges("before", dict(reversed(WIDE.layers.items()))), EVEN)
    assert [choice.label for choice in plot.choices] == ["b (1 channels, 1.0×)", "a (3 channels, 8.0×)"]
    assert plot.chosen == 1


def test_a_layer_that_one_stage_lacks_is_left_out():
    assert len(weights_by_layer(WIDE, WeightRanges("after", {"a": EVEN.layers["a"]})).choices) == 1
    assert weights_by_layer(WIDE, WeightRanges("after", {})) is None


def test_the_overview_joins_before_and_after():
    stems, before, after = imbalance_by_layer(WIDE, EVEN)["data"]
    assert before["y"] == [8.0, 1.0]
    assert after["y"] == [2.0, 1.0]
    assert stems["y"][:3] == [8.0, 2.0, None]


def test_a_layer_of_zeros_is_a_gap_in_the_overview():
    zeros = WeightRanges("before", {"a": (channel(0, 0),)})
    stems, before, _ = imbalance_by_layer(zeros, EVEN)["data"]
    assert stems["y"] == []
    assert before["y"] == [None]


@pytest.mark.parametrize(("channels", "kind", "traces"), [(MOST_BOXES, "box", 2), (MOST_BOXES + 1, "scatter", 10)])
def test_many_channels_are_bands_and_few_are_boxes(channels, kind, traces):
    stage = WeightRanges("s", {"a": (channel(-1, 2),) * channels})
    figure = channels_at_both(stage, stage, "a")
    assert len(figure["data"]) == traces
    assert {trace["type"] for trace in figure["data"]} == {kind}
    assert {trace["yaxis"] for trace in figure["data"]} == {"y", "y2"}


def test_a_box_holds_the_five_numbers():
    box = channels_at_both(WIDE, EVEN, "a")["data"][0]
    assert box["lowerfence"] == [-1, -1, -8]
    assert box["q1"] == [-0.5, -0.5, -4]
    assert box["upperfence"] == [1, 1, 2]
    headings = [note["text"] for note in channels_at_both(WIDE, EVEN, "a")["layout"]["annotations"]]
    assert headings == ["<b>before</b><br>widest / median 8.0×", "<b>after</b><br>widest / median 2.0×"]
