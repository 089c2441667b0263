"""What is only looked at stays as it is: values, modes, gradients and hooks, and what belongs to the whole process."""

import random

import numpy as np
import pytest
import torch
from torch import nn

import microjoule as mj

X, Y = torch.rand(24, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(24) % 4
LABELLED = (X, Y)


def module():
    """Partly in training, partly fixed, with a gradient that somebody still wants."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.3), nn.Conv2d(6, 6, 3)]
    made = nn.Sequential(*layers, nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))
    made.train()(X)
    made[1].eval()
    made[4].weight.requires_grad_(False)
    made[0].weight.grad = torch.ones_like(made[0].weight)
    return made


CAPTURED = mj.capture(module().eval(), X[:2])
FROZEN = mj.recipes.naive(CAPTURED, X)


def unlike_itself(network):
    """A copy in training, with gradients, of which one layer is fixed."""
    made = network.copy().train()
    made.module.get_submodule("quantizers" if made.quantizers else "1").eval()
    for parameter in made.module.parameters():
        parameter.grad = torch.ones_like(parameter)
    made.layer("0").stored_weight.requires_grad_(False)
    return made


def network():
    return unlike_itself(CAPTURED)


def quantized():
    return unlike_itself(FROZEN)


def state(held):
    found = {}
    for name, tensor in [*held.named_parameters(), *held.named_buffers()]:
        gradient = tensor.grad if tensor.is_leaf else None
        found[name] = tensor.detach().clone(), tensor.requires_grad, None if gradient is None else gradient.clone()
    for name, part in held.named_modules():
        hooks = len(part._forward_hooks), len(part._forward_pre_hooks)
        found[f"module {name}"] = part.training, getattr(part, "enabled", None), hooks
    return found


def process():
    generators = torch.get_rng_state(), torch.tensor(np.random.get_state()[1].astype(np.int64)), random.getstate()
    settings = torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled()
    return {"generators": generators, "settings": settings, "data": (X.clone(), Y.clone())}


def equal(one, other):
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def top1():
    return mj.zoo.metric("top1")


LOOKS = {
    "capture": (module, lambda m, _: mj.capture(m, X[:2])),
    "evaluate a module": (module, lambda m, _: mj.evaluate(m, LABELLED, top1())),
    "compress_model": (module, lambda m, _: mj.compress_model(m, X[:2], eval_callback=lambda _: 1, data=X, macs=0.7)),
    "evaluate": (network, lambda n, _: mj.evaluate(n, LABELLED, top1())),
    "costs": (network, lambda n, _: mj.costs(n)),
    "weight_ranges": (network, lambda n, _: mj.weight_ranges(n, "before")),
    "channel_groups": (network, lambda n, _: mj.channel_groups(n)),
    "schedule": (network, lambda n, _: mj.schedule(n)),
    "naive": (network, lambda n, _: mj.recipes.naive(n, X)),
    "gptq": (network, lambda n, _: mj.recipes.gptq(n, X)),
    "qdrop": (network, lambda n, _: mj.recipes.qdrop(n, X, iterations=1)),
    "compress": (network, lambda n, _: mj.compress(n, LABELLED, top1(), macs=0.7, ways=(1.0,), criterion="taylor")),
    "a teacher": (network, lambda n, _: mj.train(CAPTURED.copy(), X, epochs=1, learning_rate=0.01, teacher=n)),
    "errors_by_layer": (quantized, lambda n, _: mj.errors_by_layer(n, X)),
    "histograms": (quantized, lambda n, _: mj.histograms(n, X)),
    "sensitivity": (quantized, lambda n, _: mj.sensitivity(n, LABELLED, top1(), bits=(4,))),
    "export": (quantized, lambda n, path: mj.export(n, path / "network.onnx")),
    "integers": (quantized, lambda n, _: mj.IntegerRunner(n)(X[:2])),
    "save": (quantized, lambda n, path: n.save(path / "network.mj")),
}


@pytest.mark.parametrize("look", LOOKS)
def test_looking_changes_nothing(look, tmp_path):
    make, function = LOOKS[look]
    made = make()
    held = made.module if isinstance(made, mj.Network) else made
    torch.manual_seed(5)
    before, whole = state(held), process()
    function(made, tmp_path)
    after, then = state(held), process()
    assert before.keys() == after.keys()
    assert [name for name, was in before.items() if not equal(was, after[name])] == []
    assert [name for name, was in whole.items() if not equal(was, then[name])] == []


def test_a_module_in_training_has_the_score_that_it_has_in_evaluation():
    made, other = module(), module().eval()
    assert mj.evaluate(made, LABELLED, top1()).value == mj.evaluate(other, LABELLED, top1()).value
    assert (
        mj.evaluate(made, torch.utils.data.TensorDataset(*LABELLED), top1()).value
        == mj.evaluate(other, LABELLED, top1()).value
    )


@pytest.mark.parametrize(
    "recipe", [mj.recipes.naive, mj.recipes.gptq, mj.recipes.data_free], ids=lambda one: one.__name__
)
def test_a_network_in_training_is_quantized_as_in_evaluation(recipe):
    given = {"input_range": (0.0, 1.0)} if recipe is mj.recipes.data_free else {"data": X}
    one, other = recipe(network(), **given).eval(), recipe(CAPTURED, **given)
    assert torch.equal(one(X), other(X))
