"""The training loop: what a step is, what an epoch is, that it goes on from where it was killed, what it refuses."""

import hashlib

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close
from torch.utils.data import DataLoader, TensorDataset

from microjoule.capture.export import capture
from microjoule.errors import DataError, FileError, SettingError
from microjoule.execution.distill import Teacher
from microjoule.execution.optimizers import warm_cosine
from microjoule.execution.train import train
from microjoule.graph.edit import insert_quantizer, quantize_weight
from microjoule.graph.quantizer import Quantizer
from microjoule.numerics.gaussian import Gaussian
from microjoule.numerics.grid import IntGrid, Scheme
from microjoule.zoo.metrics import Top1

torch.manual_seed(0)
X = torch.randn(50, 1, 6, 6)
Y = (X[:, 0, :3].sum((1, 2)) > X[:, 0, 3:].sum((1, 2))).long()


torch.manual_seed(1)
LAYERS = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(64, 2)]
NET = capture(nn.Sequential(*LAYERS).eval(), X[:2])
LINEAR = capture(nn.Sequential(nn.Linear(3, 2)), torch.zeros(2, 3))


def net():
    return NET.copy()


def linear():
    return LINEAR.copy()


A, B = torch.randn(6, 3), torch.tensor([0, 1, 0, 1, 1, 0])


def weights(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def assert_same(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_network_learns_and_says_so():
    network = net()
    record = train(network, (X, Y), epochs=12, learning_rate=0.05, batch_size=16, valid=(X, Y), metric=Top1(), warmup=1)
    assert (record.samples, record.epochs, record.steps, record.optimizer) == (50, 12, 48, "sgd")
    assert (len(record.losses), len(record.values)) == (12, 12)
    assert record.values[-1] > 90
    assert record.losses[-1] < 0.5 * record.losses[0]
    assert (record.metric, record.unit, record.teacher, record.averaged) == ("top1", "%", False, False)
    assert network.history[-1] is record


def test_the_steps_are_those_of_torch_by_hand():
    """Two epochs of two batches in the data's own order, with weight decay on the weight alone."""
    network = linear()
    expected = nn.Linear(3, 2)
    expected.load_state_dict({name[2:]: value for name, value in network.state_dict().items()})
    optimizer = torch.optim.SGD(
        [{"params": [expected.weight], "weight_decay": 0.1}, {"params": [expected.bias]}],
        lr=0.5,
        momentum=0.9,
        nesterov=True,
    )
    for step in range(4):
        for group in optimizer.param_groups:
            group["lr"] = 0.5 * warm_cosine(step, steps=4, warmup=1)
        part = slice(0, 4) if step % 2 == 0 else slice(4, 6)
        optimizer.zero_grad()
        F.cross_entropy(expected(A[part]), B[part]).backward()
        optimizer.step()
    loader = DataLoader(TensorDataset(A, B), batch_size=4)
    train(network, loader, epochs=2, learning_rate=0.5, weight_decay=0.1, warmup=0.5)
    assert_close(network.layer("0").stored_weight, expected.weight)
    assert_close(network.layer("0").bias, expected.bias)


def test_modes_and_the_callers_chance_are_as_they_were():
    network = net()
    network.module.get_submodule("1").train()
    modes = [module.training for module in network.module.modules()]
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    train(network, (X, Y), epochs=1, learning_rate=0.01)
    assert torch.equal(torch.rand(1), expected)
    assert [module.training for module in network.module.modules()] == modes


def test_dropout_and_batch_norms_are_in_training_meanwhile_and_not_in_validation():
    network, seen = net(), []

    class Mode(Top1):
        def update(self, outputs, targets):
            seen.append(("valid", network.module.get_submodule("1").training))
            super().update(outputs, targets)

    def after_step(given, done):
        seen.append(("step", given.module.get_submodule("1").training))

    before = network.module.get_submodule("1").running_mean.clone()
    hooks = {"after_step": after_step, "valid": (X, Y), "metric": Mode()}
    train(network, (X, Y), epochs=2, learning_rate=0.01, batch_size=50, **hooks)
    assert seen == 2 * [("step", True), ("valid", False)]
    assert not torch.equal(network.module.get_submodule("1").running_mean, before)


@pytest.mark.parametrize("ema", [None, 0.9], ids=["weights", "average"])
def test_a_killed_run_ends_in_the_same_weights(tmp_path, ema):
    def settings(**more):
        def augment(x, chance):
            return x + 0.1 * torch.rand(x.shape, generator=chance)

        return {"epochs": 4, "learning_rate": 0.05, "ema": ema, "augment": augment, "optimizer": "adamw", **more}

    whole, killed = net(), net()
    record = train(whole, (X, Y), **settings(valid=(X, Y), metric=Top1(), after_epoch=lambda *_: None))

    def kill(epoch, loss, value):
        if epoch == 3:  # before its checkpoint is written
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(killed, (X, Y), **settings(valid=(X, Y), metric=Top1(), after_epoch=kill, folder=tmp_path))
    resumed, epochs = net(), []
    told = {"valid": (X, Y), "metric": Top1(), "after_epoch": lambda *told: epochs.append(told[0])}
    again = train(resumed, (X, Y), **settings(**told, folder=tmp_path))
    assert epochs == [3, 4]
    assert_same(weights(resumed), weights(whole))
    assert (again.losses, again.values) == (record.losses, record.values)
    finished = net()
    train(finished, (X, Y), **settings(**told, folder=tmp_path))
    assert epochs == [3, 4]
    assert_same(weights(finished), weights(whole))


def contents(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.safetensors")}


@pytest.mark.parametrize(
    "other",
    [{"learning_rate": 0.1}, {"seed": 1}, {"epochs": 3}, {"ema": 0.5}, {"loss": lambda o, t: o.sum()}, {"teacher": 1}],
    ids=lambda change: next(iter(change)),
)
def test_the_folder_of_another_run_is_refused(tmp_path, other):
    settings = {"epochs": 1, "learning_rate": 0.05, "folder": tmp_path}
    train(net(), (X, Y), **settings)
    before = contents(tmp_path)
    if "teacher" in other:
        other = {"teacher": net()}
    with pytest.raises(FileError, match="another run"):
        train(net(), (X, Y), **{**settings, **other})
    with pytest.raises(FileError, match="another run"):
        train(net(), (X, 1 - Y), **settings)
    assert contents(tmp_path) == before != {}


def test_the_seed_decides_and_each_epoch_has_an_order_of_its_own():
    orders = []

    def loss(outputs, targets):
        orders.append(tuple(targets.tolist()))
        return outputs.mean()

    samples = (torch.randn(40, 3), torch.arange(40))
    for seed in (0, 0, 1):
        train(linear(), samples, epochs=2, learning_rate=0.1, batch_size=40, loss=loss, seed=seed)
    assert orders[:2] == orders[2:4]
    assert len(set(orders)) == 4
    assert all(sorted(order) == list(range(40)) for order in orders)


CALLS = []


def poisoned(x, chance):
    CALLS.append(1)
    return x * float("inf") if len(CALLS) == 6 else x


def test_a_loss_that_is_not_finite_names_its_step_and_the_state_stays(tmp_path):
    network = net()
    CALLS.clear()
    settings = {"epochs": 3, "learning_rate": 0.05, "batch_size": 16, "folder": tmp_path, "augment": poisoned}
    with pytest.raises(DataError, match=r"epoch 2, step 2: the loss is nan\n.*learning_rate"):
        train(network, (X, Y), **settings)
    assert all(torch.isfinite(p).all() for p in network.module.parameters())
    resumed = []
    train(net(), (X, Y), **settings, after_epoch=lambda epoch, *_: resumed.append(epoch))
    assert resumed == [2, 3]
    assert not network.module.training


def test_the_average_is_what_the_network_holds():
    plain, averaged = net(), net()
    train(plain, (X, Y), epochs=2, learning_rate=0.05)
    record = train(averaged, (X, Y), epochs=2, learning_rate=0.05, ema=0.9)
    assert record.averaged
    one, other = weights(plain), weights(averaged)
    for name in ("0.weight", "1.weight", "1.running_mean", "1.running_var", "5.bias"):
        assert not torch.equal(one[name], other[name])
    assert torch.equal(one["1.num_batches_tracked"], other["1.num_batches_tracked"])


def test_a_teacher_alone_is_enough_without_targets():
    teacher, student = net(), net()
    with torch.no_grad():
        student.layer("5").stored_weight.zero_()
    before = (student(X) - teacher(X)).norm()
    how = Teacher(teacher, weight=1.0, features={"5": "5"})
    record = train(student, X, epochs=20, learning_rate=0.02, teacher=how, clip=1.0)
    assert record.teacher
    assert (student(X) - teacher(X)).norm() < 0.3 * before
    with pytest.raises(DataError, match="has no targets"):
        train(student, X, epochs=1, learning_rate=0.05)


def test_a_penalty_is_added_and_knows_how_far_it_is():
    seen = []

    def penalty(network, done):
        seen.append(done)
        return network.layer("0").stored_weight.square().sum()

    network = linear()
    plain, more = ({"epochs": 2, "learning_rate": 1e-5, "batch_size": 3} for _ in range(2))
    without = train(linear(), (A, B), **plain).losses
    square = network.layer("0").stored_weight.detach().square().sum().item()
    assert train(network, (A, B), penalty=penalty, **more).losses == pytest.approx(
        [loss + square for loss in without], rel=1e-3
    )
    assert seen == [0, 0.25, 0.5, 0.75]


def test_gradients_are_clipped_by_their_norm():
    """One step of plain descent at rate 1 moves all parameters together by the clipped norm."""
    network = linear()
    before = weights(network)

    def descent(groups):
        return torch.optim.SGD(groups)

    train(network, (100 * A, B), epochs=1, learning_rate=1.0, clip=0.25, optimizer=descent, weight_decay=0)
    moved = sum((weights(network)[name] - before[name]).square().sum() for name in before) ** 0.5
    assert moved.item() == pytest.approx(0.25, rel=1e-4)


def test_bfloat16_runs_in_it_and_keeps_weights_in_float32():
    network, seen = net(), []

    def loss(outputs, targets):
        seen.append(outputs.dtype)
        return F.cross_entropy(outputs, targets)

    exact, half = (train(net(), (X, Y), epochs=1, learning_rate=0.01, precision=p) for p in ("float32", "bfloat16"))
    train(network, (X, Y), epochs=1, learning_rate=0.01, precision="bfloat16", loss=loss)
    assert set(seen) == {torch.float32}
    assert {p.dtype for p in network.module.parameters()} == {torch.float32}
    assert 0 < abs(exact.losses[0] - half.losses[0]) < 0.05


def test_held_weights_stay_and_quantizers_are_not_moved_by_the_average():
    network = net()
    layer, value = network.layer("5"), next(n for n in network.graph.nodes if n.op == "placeholder")
    quantizer = Quantizer(Scheme(IntGrid(8)))
    quantizer.set_range(torch.tensor(-1.0), torch.tensor(1.0))
    quantize_weight(layer, quantizer)
    quantizer.hold(torch.randint(-128, 127, layer.stored_weight.shape))
    on_value = Quantizer(Scheme(IntGrid(8, signed=False), symmetric=False))
    on_value.set_range(torch.tensor(0.0), torch.tensor(3.0))
    insert_quantizer(network, value, on_value)
    network.recompile()
    integers, scale = quantizer.integers.clone(), on_value.scale.clone()
    held, first = layer.owner.weight.detach().clone(), network.layer("0").stored_weight.detach().clone()
    with pytest.warns(UserWarning, match="5 of 6 parameters learn"):
        train(network, (X, Y), epochs=2, learning_rate=0.05, ema=0.9)
    assert torch.equal(quantizer.integers, integers)
    assert torch.equal(on_value.scale, scale)
    assert torch.equal(layer.owner.weight, held)
    assert not torch.equal(network.layer("0").stored_weight, first)


def test_statistics_that_are_no_longer_true_are_forgotten():
    network = net()
    network.preactivations["0"] = Gaussian(torch.zeros(4), torch.ones(4))
    train(network, (X, Y), epochs=1, learning_rate=0.01)
    assert network.preactivations == {}


def test_data_that_comes_in_batches_keeps_its_order_and_is_counted():
    batches = [X[:20], X[20:50]]
    record = train(net(), batches, epochs=1, learning_rate=0.01, teacher=net())
    assert (record.samples, record.steps) == (50, 2)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"epochs": 0}, "epochs: is 0"),
        ({"learning_rate": 0.0}, "learning_rate: is 0"),
        ({"learning_rate": float("inf")}, "learning_rate: is inf"),
        ({"warmup": 1.5}, "warmup: is 1.5 of 1 epochs"),
        ({"weight_decay": -1.0}, "weight_decay: is -1"),
        ({"precision": "float16"}, "precision: is 'float16'"),
        ({"clip": 0.0}, "clip: is 0"),
        ({"loss": "mse"}, "loss: is 'mse'"),
        ({"optimizer": "lion"}, "optimizer: is 'lion'"),
        ({"ema": 1.0}, "ema: is 1"),
        ({"batch_size": 0}, "batch_size: is 0"),
        ({"valid": (X, Y)}, "valid: is nothing without a metric"),
        ({"metric": Top1()}, "valid: is nothing without a metric"),
    ],
    ids=lambda value: value if isinstance(value, str) else ", ".join(value),
)
def test_settings_that_cannot_be_are_refused_before_anything_is_done(setting, message):
    network = net()
    before = weights(network)
    with pytest.raises(SettingError, match=message):
        train(network, (X, Y), **{"epochs": 1, "learning_rate": 0.1, **setting})
    assert_same(weights(network), before)
    assert network.history == net().history
