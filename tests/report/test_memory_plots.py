"""Memory over time and the arena: where the lines and rectangles stand, and what the words say."""

from dataclasses import replace

from microjoule.records.scheduled import Demand, Held, MemoryUse, Moment
from microjoule.report.memory_plots import (
    arena_plot,
    arena_rectangles,
    certificate,
    memory_over_time,
    memory_plot,
    plan,
    saving,
)
from tests.report.samples import scheduled

RECORD = scheduled()
WORSE = replace(RECORD, bound_bytes=5000)


def traces(figure):
    return {trace.get("name", "arena"): trace for trace in figure["data"]}


# Words ----------------------------------------------------------------------------------------------------------------


def test_the_saving_by_hand():
    assert saving(RECORD) == "The peak falls from 7.68 kB to 5.63 kB, by 27 %."
    told = "The order that there was takes 5.63 kB; none that was found takes less."
    assert saving(replace(RECORD, before=RECORD.after)) == told


def test_the_certificate_names_an_operator_and_what_must_be_in_memory():
    assert certificate(RECORD) == (
        "No order can do better: whatever ran before it, while shrink_a runs at least 5.63 kB must be in memory. "
        "In the best case these values are: grow_a (4.10 kB), x (1.02 kB), shrink_a (512 B)."
    )


def test_a_bound_that_is_not_reached_claims_no_more():
    limit = Demand("grow_a", 5000, (Held("x", 1000), Held("grow_a", 4000)))
    assert certificate(replace(WORSE, limit=limit)).startswith("No order can take less than 5.00 kB: whatever")


def test_without_an_operator_the_search_is_the_proof():
    told = certificate(replace(RECORD, limit=None))
    assert told == "No order can do better: the search looked at 12 states, and left none open that could."
    told = certificate(replace(WORSE, limit=None, states=1))
    assert told.startswith("No order can take less than 5.00 kB: the search looked at 1 state,")


def test_inputs_alone_can_be_the_proof():
    told = certificate(replace(RECORD, limit=Demand("", 5632, (Held("x", 5632),))))
    expected = "what the caller gives takes as much, before anything has run: x (5.63 kB)."
    assert told == f"No order can do better: {expected}"


def test_many_values_are_not_all_named():
    limit = Demand("sum", 210, tuple(Held(f"v{size}", size) for size in range(20)))
    assert certificate(replace(RECORD, limit=limit)).endswith("v8 (8 B), and 8 more.")


def test_the_arena_in_words():
    assert plan(RECORD) == "The arena has 5.63 kB, as many as its peak: none for this order has less."
    larger = replace(RECORD, arena_bytes=6000, arena_bound_bytes=6000)
    assert plan(larger) == "The arena has 6.00 kB: none for this order has less."
    unproved = replace(RECORD, arena_bytes=6000)
    assert plan(unproved) == "The arena has 6.00 kB; none for this order has less than 5.63 kB."


# Plots ----------------------------------------------------------------------------------------------------------------


def test_both_orders_are_drawn_with_the_bound():
    found = traces(memory_over_time(RECORD))
    assert list(found) == ["before", "after", "peak before", "peak after", "bound"]
    assert found["before"]["y"] == [5120, 7168, 7680, 4096, 4096]
    assert found["after"]["x"] == [0, 1, 2, 3, 4]
    assert found["after"]["customdata"][1] == ["shrink_a", "5.63 kB"]
    assert found["bound"]["y"] == [5632, 5632]


def test_the_peaks_tell_what_is_in_memory():
    found = traces(memory_over_time(RECORD))["peak before"]
    assert (found["x"], found["y"]) == ([2], [7680])
    lines = found["customdata"][0][0].split("<br>")
    assert lines == ["shrink_a, 7.68 kB", "grow_a: 4.10 kB", "grow_b: 2.05 kB", "x: 1.02 kB", "shrink_a: 512 B"]


def test_an_order_that_did_not_change_is_drawn_once():
    found = traces(memory_over_time(replace(RECORD, before=RECORD.after)))
    assert list(found) == ["order", "peak", "bound"]


def test_where_nothing_is_computed_there_is_no_peak():
    nothing = MemoryUse(8, (Moment("flatten", 8),), None)
    found = traces(memory_over_time(replace(RECORD, before=nothing, after=nothing)))
    assert list(found) == ["order", "bound"]


def test_each_value_is_a_rectangle():
    bars, size = arena_rectangles(RECORD)["data"]
    at = [placement.values[0] for placement in RECORD.arena].index("shrink_a")
    assert (bars["x"][at], bars["width"][at], bars["base"][at], bars["y"][at]) == (2.5, 4, 1024, 512)
    assert bars["customdata"][at] == ["shrink_a", "512 B", "steps 1 to 4", "bytes 1,024 to 1,535"]
    assert size["y"] == [5632, 5632]


def test_names_are_shown_as_they_are():
    hostile = "<b>x</b>"
    use = MemoryUse(8, (Moment(hostile, 8),), Demand(hostile, 8, (Held(hostile, 8),)))
    arena = (replace(RECORD.arena[0], values=(hostile,)),)
    figure = str([memory_over_time(replace(RECORD, before=use)), arena_rectangles(replace(RECORD, arena=arena))])
    assert "<b>" not in figure
    assert "&lt;b&gt;x" in figure


def test_the_plots_say_how_to_read_them():
    assert "as deployed" in memory_plot(RECORD).caption
    assert [plot.name for plot in (memory_plot(RECORD), arena_plot(RECORD))] == ["memory", "arena"]
