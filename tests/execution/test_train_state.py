"""The state of training in a folder: whole, the last one; another one's, a damaged or forged one is not taken."""

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from microjoule.capture.export import capture
from microjoule.errors import FileError
from microjoule.execution.moving_average import MovingAverage
from microjoule.execution.train_state import STATE, State, read_state, write_state
from microjoule.jobs.identity import Identity
from microjoule.jobs.nested import pack, unpack
from microjoule.jobs.run_folder import RunFolder


def made(*, ema=True, optimizer=torch.optim.AdamW):
    torch.manual_seed(0)
    network = capture(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).eval(), torch.zeros(2, 3))
    found = optimizer(network.module.parameters(), lr=0.1)
    average = MovingAverage(network.module, 0.5) if ema else None
    return network, State(found, LambdaLR(found, lambda step: 1 / (1 + step)), average)


def step(network, state):
    network(torch.ones(2, 3)).sum().backward()
    state.optimizer.step()
    state.optimizer.zero_grad()
    state.schedule.step()
    if state.average is not None:
        state.average.update()
    state.losses.append(0.25)
    state.values.append(float("nan"))
    state.fixed, state.seconds = ("0.bias",), 1.5


@pytest.fixture
def run(tmp_path):
    with RunFolder(tmp_path / "run", Identity.of) as run:
        yield run


@pytest.mark.parametrize("ema", [True, False], ids=["average", "none"])
def test_the_last_state_comes_back_and_goes_on_the_same(run, ema):
    network, state = made(ema=ema)
    for _ in range(2):
        step(network, state)
        write_state(run, network, state)
    other, back = made(ema=ema)
    read_state(run, other, back)
    assert (back.losses, back.fixed, back.seconds, len(back.values)) == ([0.25, 0.25], ("0.bias",), 1.5, 2)
    for one, same in ((network, state), (other, back)):
        step(one, same)
    for name, tensor in network.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor)
    if ema:
        assert all(torch.equal(back.average.shadows[name], one) for name, one in state.average.shadows.items())
        assert back.average.updates == 3
    assert back.schedule.get_last_lr() == state.schedule.get_last_lr()


def test_without_a_folder_or_a_state_nothing_is_taken(run):
    network, state = made()
    read_state(run, network, state)
    with RunFolder(None, Identity.of) as nowhere:
        write_state(nowhere, network, state)
        read_state(nowhere, network, state)
    assert state.losses == []


def changed(part, **others):
    return pack({**unpack(part), **others}, "test")


@pytest.mark.parametrize(
    ("others", "told"),
    [
        ({"network": {"0.weight": torch.zeros(4, 3)}}, "its network is of other tensors"),
        ({"average": ({"0.weight": torch.zeros(4, 3)}, 1)}, "its average is of other tensors"),
        ({"progress": ([1], [], (), 0.0)}, "its progress is told by no numbers"),
        ({"progress": 1}, "it is of another form"),
        ({"optimizer": {"state": {}, "param_groups": []}}, "its optimizer is of other parameters"),
        ({"schedule": {"last_epoch": -1}}, "its schedule or optimizer has no state"),
        ({"schedule": {}}, "it is of another form"),
    ],
    ids=str,
)
def test_a_state_that_cannot_be_this_runs_is_not_taken_and_changes_nothing(run, others, told):
    network, state = made()
    step(network, state)
    write_state(run, network, state)
    forged = changed(run.read(STATE, limit_bytes=10**6), **others)
    run.write(STATE, forged.tensors, forged.text)
    other, back = made()
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.warns(UserWarning, match=rf"is damaged \({told}.*; state is done again"):
        read_state(run, other, back)
    assert back.losses == []
    assert all(torch.equal(other.state_dict()[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize("cut", [0, 10, 200])
def test_a_damaged_state_is_not_taken(run, cut):
    network, state = made()
    step(network, state)
    write_state(run, network, state)
    path = run.parts.path(STATE)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.warns(UserWarning, match="state is done again"):
        read_state(run, *made())


def test_an_optimizer_that_keeps_anything_else_is_refused(run):
    network, state = made()
    state.optimizer.param_groups[0]["hook"] = object()
    with pytest.raises(FileError, match="optimizer: holds a object, which cannot be kept"):
        write_state(run, network, state)
