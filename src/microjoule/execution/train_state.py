"""The state of a training run as a part of its folder, so that a run that was stopped goes on and ends in the same
weights.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.utils import _pytree as pytree

from microjoule.execution.fitted import read_checked
from microjoule.execution.moving_average import MovingAverage
from microjoule.graph.network import Network
from microjoule.jobs.nested import pack, unpack
from microjoule.jobs.part import Part
from microjoule.jobs.run_folder import RunFolder

STATE = "state"
"""The name of the one part."""

TIMES, SLACK_BYTES = 64, 2**26
"""A state takes no more bytes than so many copies of the network, and some more."""


@dataclass(slots=True)
class State:
    """What changes from step to step, beside the network."""

    optimizer: Optimizer
    schedule: LambdaLR
    average: MovingAverage | None
    losses: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    fixed: tuple[str, ...] = ()
    seconds: float = 0.0


def write_state(run: RunFolder, network: Network, state: State) -> None:
    """Keep the state after an epoch in place of the last one; a run that is killed meanwhile leaves the last one.

    Raises:
        FileError: if it cannot be written, or the optimizer keeps what is neither number nor tensor.
    """
    if run.parts is None:
        return
    average = None if state.average is None else (state.average.shadows, state.average.updates)
    content = {
        "network": dict(network.state_dict()),
        "optimizer": state.optimizer.state_dict(),
        "schedule": state.schedule.state_dict(),
        "average": average,
        "progress": (state.losses, state.values, state.fixed, state.seconds),
    }
    part = pack(content, "optimizer")
    run.write(STATE, part.tensors, part.text)


def read_state(run: RunFolder, network: Network, state: State) -> None:
    """Take the last state, if there is one; one that cannot be this network's is not taken, and a warning tells so.

    Args:
        run: where it is kept.
        network: that learns, which takes its part.
        state: which takes its part.
    """
    limit = SLACK_BYTES + TIMES * sum(tensor.nbytes for tensor in network.state_dict().values())
    part = read_checked(run, STATE, lambda part: _problems(part, network, state), limit_bytes=limit)
    if part is None:
        return
    known = pytree.tree_map_only(Tensor, lambda tensor: tensor.to(network.device), unpack(part))
    network.module.load_state_dict(known["network"])
    state.optimizer.load_state_dict(known["optimizer"])
    state.schedule.load_state_dict(known["schedule"])
    if state.average is not None:
        state.average.shadows, state.average.updates = known["average"]
    state.losses, state.values, state.fixed, state.seconds = known["progress"]


def _problems(part: Part, network: Network, state: State) -> Iterable[str]:
    """Why a part cannot be the state of this run, in words."""
    known: dict[str, Any] = unpack(part)
    losses, values, fixed, seconds = known["progress"]
    if not all(isinstance(number, float) for number in (*losses, *values, seconds)) or not isinstance(fixed, tuple):
        yield "its progress is told by no numbers"
    yield from _alike("network", known["network"], network.state_dict())
    if state.average is not None:
        yield from _alike("average", known["average"][0], state.average.shadows)
    groups = known["optimizer"]["param_groups"]
    if [len(group["params"]) for group in groups] != [len(group["params"]) for group in state.optimizer.param_groups]:
        yield "its optimizer is of other parameters"
    if known["schedule"]["last_epoch"] < 0 or not isinstance(known["optimizer"]["state"], dict):
        yield "its schedule or optimizer has no state"


def _alike(name: str, found: dict[str, Tensor], wanted: dict[str, Tensor]) -> Iterable[str]:
    """Whether tensors are of the names, shapes and types that they should be."""
    given = {key: (tensor.shape, tensor.dtype) for key, tensor in found.items()}
    if given != {key: (tensor.shape, tensor.dtype) for key, tensor in wanted.items()}:
        yield f"its {name} is of other tensors"
