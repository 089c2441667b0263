"""What tells runs apart: every part of a network, every value of data, every option; and how it is said."""

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.jobs.identity import (
    DataFacts,
    Identity,
    data_facts,
    in_words,
    network_facts,
    option_facts,
    values_digest,
    versions,
)
from microjoule.numerics.gaussian import Gaussian

X = torch.rand(4, 2, 9, 9, generator=torch.Generator().manual_seed(0))


class Model(nn.Module):
    def __init__(self, *, conv=None, norm=None, relu=None, p=0.1, size=(2, 2)):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(2, 4, 3, **{"padding": 1, **(conv or {})})
        self.norm = nn.BatchNorm2d(4, **(norm or {}))
        self.drop = nn.Dropout(p)
        self.slope, self.size = relu, size
        self.register_buffer("table", torch.arange(4.0).reshape(4, 1, 1), persistent=False)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.fill_(0.5)

    def forward(self, x):
        y = self.drop(self.norm(self.conv(x)) + self.table)
        y = torch.relu(y) if self.slope is None else nn.functional.leaky_relu(y, self.slope)
        return nn.functional.adaptive_avg_pool2d(y, self.size)


def network(**how):
    return mj.capture(Model(**how).eval(), X)


BEFORE = network()


def differing(other, label="the network"):
    return Identity(network_facts(BEFORE, label)).differences(network_facts(other, label))


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"conv": {"stride": 2}}, "conv.stride"),
        ({"conv": {"dilation": 2}}, "conv.dilation"),
        ({"conv": {"padding": 0}}, "conv.padding"),
        ({"conv": {"padding_mode": "circular"}}, "conv"),
        ({"norm": {"eps": 1.0}}, "norm.eps"),
        ({"norm": {"momentum": 0.5}}, "norm.momentum"),
        ({"p": 0.2}, "drop.p"),
        ({"relu": 0.1}, "leaky_relu"),
        ({"size": (1, 1)}, "adaptive_avg_pool2d"),
    ],
    ids=str,
)
def test_every_setting_of_a_network_is_told(how, told):
    assert told in in_words(differing(network(**how)))


def weight(other):
    other.layer("conv").stored_weight.data[0, 0, 0, 0] += 1e-6


def statistic(other):
    other.module.get_submodule("norm").running_var[1] = 2


def table(other):
    next(b for name, b in other.module.named_buffers() if "table" in name)[0] = 9


def mode(other):
    other.module.get_submodule("norm").train()


def fixed(other):
    other.module.get_submodule("norm").weight.requires_grad_(False)


def tied(other):
    norm = other.module.get_submodule("norm")
    norm.bias = norm.weight


def known(other):
    other.preactivations["conv"] = Gaussian(torch.zeros(4), torch.ones(4))


def quantized(other):
    mj.quantize(other)


@pytest.mark.parametrize("change", [weight, statistic, table, mode, fixed, tied, known, quantized])
def test_every_number_and_mode_of_a_network_counts(change):
    other = BEFORE.copy()
    assert differing(other) == []
    change(other)
    assert differing(other) != []


@pytest.mark.parametrize("part", ["scale", "bits", "held", "enabled"])
def test_a_quantizer_is_told_by_its_grid_and_what_it_holds(part):
    one = BEFORE.copy()
    mj.quantize(one)
    mj.calibrate(one, X)
    other, quantizer = one.copy(), None
    quantizer = other.layer("conv").quantizer
    if part == "scale":
        quantizer.scale[0] *= 1.001
    if part == "enabled":
        quantizer.enabled = False
    if part == "held":
        mj.freeze(other)
    if part == "bits":
        other = BEFORE.copy()
        mj.quantize(other, weights=4)
    assert Identity(network_facts(one)).differences(network_facts(other)) != []


def test_history_and_the_values_of_the_example_do_not_count(tmp_path):
    other = mj.capture(Model().eval(), X + 1)
    mj.weight_ranges(other, "before")
    other.save(tmp_path / "network.mj")
    assert differing(mj.load(tmp_path / "network.mj")) == []


# Data -----------------------------------------------------------------------------------------------------------------


def test_the_batch_that_differs_is_named_and_labels_apart():
    batches = [((torch.full((2,), float(at)),), torch.tensor([at])) for at in range(5)]
    other = [*batches[:2], ((torch.full((2,), 9.0),), torch.tensor([2])), *batches[3:]]
    labels = [*batches[:3], (batches[3][0], torch.tensor([7])), (batches[4][0], torch.tensor([7]))]
    whole = Identity(data_facts(batches))
    assert whole.differences(data_facts(batches)) == []
    assert whole.differences(data_facts(other)) == ["data (batch 3 of 5)"]
    assert whole.differences(data_facts(labels)) == ["labels of data (batch 4 and 1 more of 5)"]
    assert whole.differences(data_facts(batches[:3])) == [
        "data (5 batches here, 3 in the folder)",
        "labels of data (5 batches here, 3 in the folder)",
    ]


def test_data_without_labels_has_none():
    facts = DataFacts("inputs")
    facts.add((X,))
    assert list(facts.facts) == ["inputs"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((X,), (X + 1,)),
        ((X,), (X.half(),)),
        ((X,), (X.reshape(2, 4, 9, 9),)),
        ((X, X), ((X, X),)),
        ({"a": X}, {"b": X}),
        ((X, 1), (X, 2)),
        ((X, "a"), (X, "b")),
        ((X.to_sparse(),), ((X + 1).to_sparse(),)),
    ],
)
def test_values_and_the_form_that_they_come_in_count(one, other):
    assert values_digest(one) != values_digest(other)
    assert values_digest(one) == values_digest(one)


# Words ----------------------------------------------------------------------------------------------------------------


def test_options_are_told_with_both_values():
    here = Identity.of(option_facts({"learning_rate": 0.05, "seed": 0}))
    there = Identity.of(option_facts({"learning_rate": 0.1, "seed": 0}))
    assert here.differences(there.facts) == ["learning_rate (0.05 here, 0.1 in the folder)"]
    assert here.digest != there.digest
    assert here.digest == Identity.of(option_facts({"seed": 0, "learning_rate": 0.05})).digest


def test_what_only_one_of_them_has_is_told():
    assert Identity({"a": "1"}).differences({"b": "1"}) == ["a (not in the folder)", "b (only in the folder)"]


def test_the_versions_count():
    assert {"microjoule", "torch"} == versions().keys() <= Identity.of().facts.keys()
    assert versions()["torch"] == torch.__version__


def test_three_differences_are_told_and_the_others_counted():
    assert in_words(["a", "b", "c"]) == "a; b; c"
    assert in_words(["a", "b", "c", "d", "e"]) == "a; b; c; and 2 more"
