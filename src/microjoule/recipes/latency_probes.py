"""Networks of other shapes, timed in turns with the original: what a model of the latency is fitted to.

Latency depends on shapes, not on weights, so that nothing needs to be fitted before it is measured. Whole networks are
timed, not layers alone: a layer in a file of its own waits for the runtime's start and lays its values out anew, which
in a network happens once, or only where layouts meet.
"""

import json
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from microjoule.compression.approximations import usable_forms
from microjoule.compression.cuts import cuts
from microjoule.compression.latency_model import LatencyModel, latency_model
from microjoule.compression.menu import Menu
from microjoule.compression.plan import Plan, restructure
from microjoule.compression.prices import Form, Work
from microjoule.deploy.measure import measure_together
from microjoule.deploy.onnx_file import export
from microjoule.execution.batches import Batches, first
from microjoule.execution.run import batch_step
from microjoule.execution.tasks import run_tasks
from microjoule.graph.factor import unfit
from microjoule.graph.fold import fold_batch_norms
from microjoule.graph.network import Network
from microjoule.jobs.run_folder import RunFolder
from microjoule.numerics.low_rank_shapes import largest_rank
from microjoule.recipes.data_free import naive

PROBES, TOGETHER = 24, 6
"""Networks that are timed, and how many in turns with the original: each is a process that holds one."""

ROUNDS, RUNS, THREADS = 4, 100, 1
"""How often networks take turns, timed runs of each in a turn, and threads of the runtime.

Two threads wait for each other whenever the machine does something else. With as much other work as three times the
cores could do, shares of ResNet-20 differ by 2 % from one measurement to the next with one thread, by 10 % with two."""

CLOCK = "ONNX Runtime, one thread, {bits} bits"
"""What times networks, for the record."""

BITS = (32, 8)
"""Widths in which networks are timed: floating point, or integers as the target "onnxruntime" has them."""

RANGED = 2
"""Samples for the ranges of integers: any will do, as latency does not depend on them."""

Clock = Callable[[Sequence[Network]], list[float]]
"""Milliseconds of networks, measured in turns."""


# The clock ------------------------------------------------------------------------------------------------------------


def in_turns(networks: Sequence[Network], *, ranged: Batches | None = None) -> list[float]:
    """Milliseconds of networks in ONNX Runtime, in turns: in its best round, of a run that a tenth are faster than.

    What else the machine does only ever adds to a run, so that this changes less than a median.

    Args:
        networks: in floating point; they are left alone. Batch norms are folded in copies.
        ranged: inputs for the ranges of 8 bits, in which copies are then timed; None for 32.

    Raises:
        ExportError: for a network that cannot be exported.
    """
    with tempfile.TemporaryDirectory(prefix="microjoule-") as folder:
        paths = [Path(folder) / f"{number}.onnx" for number in range(len(networks))]
        for network, path in zip(networks, paths, strict=True):
            export(_folded(network) if ranged is None else naive(network, ranged), path)
        rounds = [measure_together(paths, runs=RUNS, threads=THREADS) for _ in range(ROUNDS)]
    return [min(one.latency_low_ms for one in each) for each in zip(*rounds, strict=True)]


def clock_of(network: Network, inputs: Batches, bits: int) -> Clock:
    """What times networks of one kind: as they are, or quantized.

    Args:
        network: of that kind.
        inputs: that it takes.
        bits: 32 or 8.
    """
    if bits == BITS[0]:
        return in_turns
    step = batch_step(network)
    return partial(in_turns, ranged=first(inputs, -(-RANGED // step) * step))


def _folded(network: Network) -> Network:
    plain = network.copy()
    fold_batch_norms(plain)
    return plain


def shares_of(original: Network, plans: Sequence[Plan], clock: Clock) -> tuple[float, list[float]]:
    """The original's milliseconds, and what share of it networks take that plans make of it.

    Args:
        original: in floating point; it is left alone.
        plans: whose networks are timed in turns with it.
        clock: that times them.
    """
    copies = [original.copy() for _ in plans]
    for network, plan in zip(copies, plans, strict=True):
        restructure(network, plan)
    whole, *others = clock([original, *copies])
    return whole, [other / whole for other in others]


# Probes ---------------------------------------------------------------------------------------------------------------


def probed(menu: Menu, clock: Clock, *, seed: int, kept: RunFolder) -> tuple[float, LatencyModel]:
    """The original's milliseconds, and a model of the latency, fitted to networks that the menu can make.

    Args:
        menu: of the original; in multiply-accumulates.
        clock: that times networks.
        seed: of the networks that are drawn.
        kept: where what is measured is kept, so that it is measured once.
    """
    generator = random.Random(seed)
    plans = [drawn(menu, generator) for _ in range(PROBES)]
    turns = {f"probes {at}": plans[at : at + TOGETHER] for at in range(0, PROBES, TOGETHER)}
    work = partial(_timed, menu=menu, turns=turns, clock=clock)
    timed = run_tasks(lambda: work, list(turns), kept, _parsed, label="networks to time")
    whole = min(first for first, _ in timed.values())
    shares = [share for _, others in timed.values() for share in others]
    networks = [list(all_works(menu, plan)) for plan in (Plan(), *plans)]
    return whole, latency_model(networks, [whole, *(whole * share for share in shares)])


def _timed(name: str, *, menu: Menu, turns: Mapping[str, Sequence[Plan]], clock: Clock) -> str:
    return json.dumps(shares_of(menu.network, turns[name], clock))


def _parsed(text: str) -> tuple[float, list[float]]:
    """The original's milliseconds, and the others' shares of it.

    Raises:
        ValueError: for a text that is no result.
        TypeError: likewise.
    """
    whole, shares = json.loads(text)
    if len(shares) != TOGETHER:
        raise ValueError(f"has {len(shares)} times, and not {TOGETHER}")
    return float(whole), [float(share) for share in shares]


def drawn(menu: Menu, generator: random.Random) -> Plan:
    """A plan that has no purpose: some groups narrower, some layers in low-rank forms; how many differs from one to
    the next.

    Args:
        menu: what there is to choose from, in multiply-accumulates.
        generator: that draws.
    """
    cut, factored, deep = generator.random(), generator.random(), generator.random()
    removed = {}
    for name, removal in menu.removals.items():
        widths = menu.widths(removal)
        count = widths[int(len(widths) * deep * generator.random())]
        if count and generator.random() < cut:
            removed[name] = menu.removed(name, count)
    stays, forms = cuts(menu.network, menu.groups, removed), dict[str, Form]()
    for layer in menu.network.layers:
        offered = layer.path in menu.known and unfit(menu.network, layer) is None
        methods = usable_forms(menu.network, layer, menu.methods) if offered else []
        if not methods or generator.random() > factored:
            continue
        method, shape, (sizes, *_) = generator.choice(methods), stays[layer.path].shape(layer), menu.sizes[layer.path]
        limit = menu.layer_cost(layer.path, stays[layer.path]) - 1
        most = largest_rank(shape, method, limit, sizes.inputs, sizes.outputs)
        if most:
            forms[layer.path] = method, generator.randint(1, most)
    return Plan(removed, forms)


def all_works(menu: Menu, plan: Plan) -> Iterator[Work]:
    """The layers that a plan leaves, every call of each.

    Args:
        menu: of the network.
        plan: what goes.
    """
    stays = cuts(menu.network, menu.groups, plan.removed)
    for layer in menu.network.layers:
        yield from menu.works(layer.path, stays[layer.path], plan.forms.get(layer.path))
