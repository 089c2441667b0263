from benchmarks.random_computations import random_computation
from microjoule.scheduling.bits import mask, ones
from microjoule.scheduling.memory import Memory
from microjoule.scheduling.views import without_views
from tests.scheduling.random_computations import Naive, computation_of, for_seeds, operator_of

CHAIN = computation_of([5, 7, 3], [operator_of([0], 1, workspace_bytes=2), operator_of([1], 2)], outputs=[2])


def test_a_chain_by_hand():
    """The input and the middle and a workspace; then the middle and the output."""
    memory = Memory(CHAIN)
    assert memory.start == (0, 5, 0b1)
    assert memory.run(0, memory.start) == (14, 7)
    after = memory.follow(0, memory.start, 7)
    assert after == (0b1, 7, 0b10)
    assert memory.run(1, after) == (10, 3)
    assert memory.follow(1, after, 3) == (0b11, 3, 0)


def test_a_chain_from_its_end():
    memory = Memory(CHAIN, backwards=True)
    assert memory.start == (0, 3, 0b10)
    assert memory.run(1, memory.start) == (10, 7)
    assert memory.run(0, memory.follow(1, memory.start, 7)) == (14, 5)


def test_in_place_by_hand():
    """The first reader may not lay its output where the second reads; the second may."""
    memory = Memory(computation_of([5, 5, 4], [operator_of([0], 1, inplace=0), operator_of([0], 2, inplace=0)]))
    assert memory.run(0, memory.start) == (10, 5)
    assert memory.run(1, memory.follow(0, memory.start, 5)) == (5, 0)
    assert (memory.reusable(0), memory.reusable(1)) == (5, 4)


def test_what_is_wanted_or_accumulated_is_not_overwritten():
    memory = Memory(computation_of([5, 5], [operator_of([0], 1, inplace=0)], outputs=[0]))
    assert memory.run(0, memory.start) == (10, 5)
    assert memory.reusable(0) == 0
    memory = Memory(computation_of([5, 5], [operator_of([0], 1, inplace=0), operator_of([], 1)]))
    assert memory.reusable(0) == 0


def test_what_needs_what_by_hand():
    operators = [operator_of([0], 1), operator_of([0], 2), operator_of([1, 2], 3), operator_of([3], 4)]
    memory = Memory(computation_of([1] * 5, operators))
    assert memory.closures() == ([0, 0, 0b11, 0b111], [0b1100, 0b1100, 0b1000, 0])
    assert Memory(computation_of([1] * 5, operators), backwards=True).closures() == memory.closures()[::-1]
    assert memory.started_by(2) == [3]


def test_an_input_that_nobody_uses_takes_nothing():
    assert Memory(computation_of([5, 7, 3], [], inputs=[0, 1, 2], outputs=[2])).start.live == 3


def every_state(memory):
    """All states that can be reached."""
    found = {memory.start.done: memory.start}
    waiting = [memory.start]
    while waiting:
        state = waiting.pop()
        for one in ones(state.ready):
            after = memory.follow(one, state, memory.run(one, state)[1])
            assert found.get(after.done, after) == after
            if after.done not in found:
                found[after.done] = after
                waiting.append(after)
    return found


@for_seeds(80)
def test_every_state_is_as_defined(seed):
    plain, _ = without_views(random_computation(seed, most=7))
    naive, memory = Naive(plain), Memory(plain)
    states = every_state(memory)
    assert states.keys() == {mask(done) for done in naive.downsets()}
    assert memory.full in states
    for state in states.values():
        done = frozenset(ones(state.done))
        assert state.live == naive.live(done)
        assert list(ones(state.ready)) == naive.ready(done)
        for one in naive.ready(done):
            assert memory.run(one, state) == (naive.need(one, done), naive.live(done | {one}))


@for_seeds(80)
def test_every_state_from_the_end_is_as_defined(seed):
    """What has run from the end is what has not run yet; before an operator it is live what was live after it."""
    plain, _ = without_views(random_computation(seed, most=7))
    naive, memory = Naive(plain), Memory(plain, backwards=True)
    states = every_state(memory)
    assert states.keys() == {memory.full ^ mask(done) for done in naive.downsets()}
    for state in states.values():
        left = frozenset(ones(memory.full ^ state.done))
        assert state.live == naive.live(left)
        ready = [one for one in left if not any(one in naive.before[later] for later in left)]
        assert list(ones(state.ready)) == sorted(ready)
        for one in ready:
            assert memory.run(one, state) == (naive.need(one, left - {one}), naive.live(left - {one}))


@for_seeds(40)
def test_both_directions_have_the_same_closures(seed):
    plain, _ = without_views(random_computation(seed))
    earlier, later = Memory(plain).closures()
    assert Memory(plain, backwards=True).closures() == (later, earlier)
    for one, needed in enumerate(plain.before()):
        assert earlier[one] == mask(needed) | mask(more for it in needed for more in ones(earlier[it]))
        assert later[one] == mask(other for other in range(len(later)) if earlier[other] >> one & 1)
