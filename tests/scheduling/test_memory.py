from benchmarks.random_computations import random_computation
from microjoule.scheduling.bits import mask, ones
from microjoule.scheduling.memory import Extent, Memory
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


def test_an_order_by_hand():
    """Values of 3 and 4 bytes that nobody reads are there while they are written."""
    memory = Memory(computation_of([5, 7, 3, 4], [operator_of([0], 1), operator_of([0], 2), operator_of([1], 3)]))
    assert list(memory.along([0, 2, 1])) == [(12, 12), (16, 5), (8, 0)]
    assert memory.needs([0, 2, 1]) == [12, 16, 8]
    assert memory.needs(iter([0, 1, 2])) == [12, 15, 11]
    assert (memory.peak([0, 2, 1]), memory.peak(iter([0, 1, 2])), memory.peak([0])) == (16, 15, 12)
    assert (memory.needs([]), memory.peak([])) == ([], 5)


def test_a_value_is_live_from_its_first_starter_to_its_last_finisher():
    own = Extent(1, starters=0b0011, finishers=0b0110, from_start=False, to_end=False)
    assert [own.is_live(done, done) for done in (0, 0b1, 0b10, 0b111)] == [False, True, True, False]
    assert own.is_live(0b1, 0b1010)
    assert not own.is_live(0b1000, 0b1000)
    given, wanted = own._replace(starters=0, from_start=True), own._replace(to_end=True)
    assert [given.is_live(done, done) for done in (0, 0b110)] == [True, False]
    assert [wanted.is_live(done, done) for done in (0, 0b1, 0b111)] == [False, True, True]


def test_the_last_user_overwrites_whatever_the_size():
    """Seen from the end, the last user is the first."""
    given = computation_of([5, 5, 0], [operator_of([0], 1, inplace=0), operator_of([0], 2, inplace=0)])
    memory, back = Memory(given), Memory(given, backwards=True)
    assert [memory.overwrites(0, done) for done in (0, 0b10)] == [False, True]
    assert [memory.overwrites(1, done) for done in (0, 0b1)] == [False, True]
    assert [back.overwrites(0, done) for done in (0, 0b10)] == [True, False]
    assert not Memory(CHAIN).overwrites(1, 0b1)


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
