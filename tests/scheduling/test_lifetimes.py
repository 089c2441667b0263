import pytest
from hypothesis import given
from hypothesis import strategies as st

from microjoule.errors import GraphError
from microjoule.scheduling.arena import Buffer, load
from microjoule.scheduling.computation import Computation, Operator, Value
from microjoule.scheduling.lifetimes import buffers_of


def computation(sizes, operators, inputs=(0,), outputs=()):
    values = [Value(f"v{index}", size, index in inputs, index in outputs) for index, size in enumerate(sizes)]
    return Computation("c", tuple(values), tuple(operators))


def op(inputs, *outputs, **options):
    return Operator(f"o{outputs[0]}", tuple(inputs), outputs, **options)


def lives(found):
    return [(one.lower, one.upper, one.size_bytes) for one in found.buffers]


def test_a_chain_by_hand():
    """The input until it was read, the middle for two steps, the output until the end."""
    found = buffers_of(computation([5, 7, 3], [op([0], 1), op([1], 2)], outputs=[2]))
    assert found.buffers == (Buffer("v0", 0, 1, 5), Buffer("v1", 0, 2, 7), Buffer("v2", 1, 2, 3))
    assert found.places == ((0,), (1,), (2,))


def test_what_the_caller_gives_and_wants_stays():
    found = buffers_of(computation([5, 7, 3], [op([0], 1), op([1], 2)], outputs=[0, 1]))
    assert lives(found) == [(0, 2, 5), (0, 2, 7), (1, 2, 3)]


def test_the_order_decides():
    given = computation([1, 2, 3, 4], [op([0], 1), op([0], 2), op([1, 2], 3)], outputs=[3])
    assert lives(buffers_of(given, [1, 0, 2])) == [(0, 2, 1), (1, 3, 2), (0, 3, 3), (2, 3, 4)]


def test_a_value_that_is_accumulated_lives_from_its_first_writer_on():
    given = computation([1, 2, 3], [op([0], 1), op([0], 2), op([0], 1)])
    assert lives(buffers_of(given)) == [(0, 3, 1), (0, 3, 2), (1, 2, 3)]


def test_a_workspace_lives_for_a_step():
    given = computation([1, 2], [op([0], 1, workspace_bytes=9)])
    assert buffers_of(given).buffers[-1] == Buffer("workspace of o1", 0, 1, 9)


# In place -------------------------------------------------------------------------------------------------------------


def test_an_output_in_place_shares_the_larger_buffer_over_both_lives():
    given = computation([1, 7, 3, 2], [op([0], 1), op([1], 2, inplace=1), op([2], 3, inplace=2)], outputs=[3])
    found = buffers_of(given)
    assert lives(found) == [(0, 1, 1), (0, 3, 7)]
    assert found.places == ((0,), (1,), (1,), (1,))


NOT_IN_PLACE = {
    "the input is read later": ([5, 5, 5], [op([0], 1, inplace=0), op([0], 2)], ()),
    "the input is wanted": ([5, 5], [op([0], 1, inplace=0)], (0,)),
    "a view on the input is read later": (
        [5, 5, 5, 5],
        [op([0], 1, is_view=True), op([0], 2, inplace=0), op([1], 3)],
        (),
    ),
    "a view on the input is read at once": ([5, 5, 5], [op([0], 1, is_view=True), op([0, 1], 2, inplace=0)], ()),
    "the output is there already": ([5, 5], [op([], 1), op([0], 1, inplace=0)], ()),
}


@pytest.mark.parametrize(("sizes", "operators", "outputs"), NOT_IN_PLACE.values(), ids=NOT_IN_PLACE)
def test_an_output_has_a_buffer_of_its_own_if(sizes, operators, outputs):
    found = buffers_of(computation(sizes, operators, outputs=outputs))
    places = found.places
    assert places[operators[-1].outputs[0]] != places[0]
    assert places[next(one for one in operators if one.inplace is not None).outputs[0]] != places[0]


def test_an_output_may_take_the_place_of_what_a_view_lies_on():
    given = computation([5, 5, 4], [op([0], 1, is_view=True), op([1], 2, inplace=1)])
    assert buffers_of(given).places == ((0,), (0,), (0,))


# Views ----------------------------------------------------------------------------------------------------------------


def test_a_view_has_no_buffer_and_keeps_what_it_lies_on():
    concatenation = [op([0], 1), op([0], 2), op([1, 2], 3, is_view=True), op([3], 4, is_view=True), op([4], 5)]
    found = buffers_of(computation([1, 2, 3, 5, 5, 4], concatenation))
    assert lives(found) == [(0, 2, 1), (0, 5, 2), (1, 5, 3), (4, 5, 4)]
    assert found.places == ((0,), (1,), (2,), (1, 2), (1, 2), (3,))


def test_a_view_that_is_wanted_keeps_what_it_lies_on_to_the_end():
    given = computation([5, 5, 1], [op([0], 1, is_view=True), op([0], 2)], outputs=[1])
    assert lives(buffers_of(given)) == [(0, 2, 5), (1, 2, 1)]


def test_a_view_of_nothing_has_a_buffer_for_all_that_is_seen_in_it():
    given = computation([5, 4, 4, 1], [op([], 1, is_view=True), op([1], 2, is_view=True), op([0, 2], 3)])
    assert buffers_of(given).places == ((0,), (1,), (1,), (2,))


# Degenerate, refusal, law ---------------------------------------------------------------------------------------------


def test_without_operators_the_inputs_live():
    found = buffers_of(computation([5, 7], [], inputs=[0, 1], outputs=[1]))
    assert lives(found) == [(0, 1, 5), (0, 1, 7)]


def test_an_input_that_nobody_reads_is_there_at_the_start():
    assert lives(buffers_of(computation([5, 7, 1], [op([1], 2)] * 2, inputs=[0, 1])))[0] == (0, 1, 5)


@pytest.mark.parametrize("order", [[0], [0, 0], [0, 2], [0, 1, 1]])
def test_an_order_of_something_else_is_refused(order):
    with pytest.raises(GraphError, match="has 2 operators, but the order is"):
        buffers_of(computation([1, 1, 1], [op([0], 1), op([0], 2)]), order)


def test_an_order_that_cannot_run_is_refused():
    with pytest.raises(GraphError, match="which it needs"):
        buffers_of(computation([1, 1, 1], [op([0], 1), op([1], 2)]), [1, 0])


@given(st.data())
def test_the_load_is_what_a_run_counts(data):
    """Without views and places: at each step what was given or written and is still to be used, and the workspace."""
    sizes = data.draw(st.lists(st.integers(0, 9), min_size=2, max_size=7))
    operators = [
        op(
            data.draw(st.sets(st.integers(0, index - 1), min_size=1)),
            index,
            workspace_bytes=data.draw(st.integers(0, 9)),
        )
        for index in range(1, len(sizes))
    ]
    wanted = data.draw(st.sets(st.integers(0, len(sizes) - 1)))
    counted = []
    for step, operator in enumerate(operators):
        later = {value for one in operators[step:] for value in (*one.inputs, *one.outputs)} | wanted
        there = {0, *(one.outputs[0] for one in operators[: step + 1])}
        if step:
            there &= later
        counted.append(sum(sizes[value] for value in there) + operator.workspace_bytes)
    assert load(buffers_of(computation(sizes, operators, outputs=wanted)).buffers) == max(counted)
