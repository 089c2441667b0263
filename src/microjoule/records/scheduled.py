"""In which order a network is computed and where its values lie, as plain values; a step is an operator that runs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Held:
    """A value that is in memory."""

    value: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Demand:
    """What is in memory while an operator runs.

    Args:
        operator: its name; empty for the start, before anything has run.
        size_bytes: of all.
        values: in the order of the network, without those of no bytes.
    """

    operator: str
    size_bytes: int
    values: tuple[Held, ...]


@dataclass(frozen=True, slots=True)
class Moment:
    """How many bytes are in memory while an operator runs."""

    operator: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Memory over time, in one order.

    Args:
        peak_bytes: the most.
        steps: in the order in which the operators run, views included.
        peak: what is in memory where it is the most; None if nothing is computed.
    """

    peak_bytes: int
    steps: tuple[Moment, ...]
    peak: Demand | None


@dataclass(frozen=True, slots=True)
class Placement:
    """Bytes of the arena that are taken for some time.

    Args:
        values: that lie there, each written where the one before lay; views are not named.
        first: the step that writes the first of them; 0 for what the caller gives.
        until: the step before which the bytes are free again.
        offset: of the first byte.
        size_bytes: how many there are.
    """

    values: tuple[str, ...]
    first: int
    until: int
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A network's operators in the order that takes the least memory.

    Args:
        sizes: whether they are "as deployed" or "in PyTorch".
        before: memory in the order that there was.
        after: memory in the order that was chosen.
        bound_bytes: no order takes less.
        states: that the search looked at.
        seconds: that it took, with the arena.
        limit: what bounds every order by `bound_bytes`: an operator, and the fewest bytes that can be in memory while
            it runs, whatever ran before; None if all orders were tried that could take less.
        arena_bytes: of one block of memory that holds everything in this order.
        arena_bound_bytes: no plan for this order takes less.
        arena: where the values lie in it, views and values of no bytes left out.
        accumulates: whether it was assumed that the runtime's convolutions can add to what lies in memory, so that a
            convolution and the sum that alone reads it are one operator.
    """

    sizes: str
    before: MemoryUse
    after: MemoryUse
    bound_bytes: int
    states: int
    seconds: float
    limit: Demand | None
    arena_bytes: int
    arena_bound_bytes: int
    arena: tuple[Placement, ...]
    accumulates: bool = False

    @property
    def optimal(self) -> bool:
        """Whether it is proved that no order takes less memory."""
        return self.after.peak_bytes == self.bound_bytes

    @property
    def places(self) -> dict[str, range]:
        """The bytes of the arena in which each value lies, as `run_in_arena` takes them."""
        return {value: range(one.offset, one.offset + one.size_bytes) for one in self.arena for value in one.values}

    @property
    def in_place(self) -> frozenset[str]:
        """The values that are written where another one lay that is done with."""
        return frozenset(value for one in self.arena for value in one.values[1:])


@dataclass(frozen=True, slots=True)
class RanInOrder:
    """A runtime that ran a file in the order that there was, and the same file in the one that was chosen.

    Args:
        runtime: its name.
        samples: how many random inputs both got.
        identical: whether all outputs were the same, bit for bit.
        follows_file: whether it ran the operators in the order of the file; None if it cannot tell.
        before_bytes: the most that its arena held in the order that there was; None if it does not tell.
        after_bytes: the same in the order that was chosen.
        planned_bytes: what was planned for that order.
        caveat: what the figures hold and what not, in a sentence.
    """

    runtime: str
    samples: int
    identical: bool
    follows_file: bool | None
    before_bytes: int | None
    after_bytes: int | None
    planned_bytes: int
    caveat: str
