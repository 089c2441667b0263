"""A run that is resumed takes nothing of another run: other networks, data, labels, options, versions, damaged files.

After public reports of tools that resume from a folder by its name alone.
"""

import random
import re
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.cases.interface import (
    Refusal,
    adaround,
    auto,
    bayesian_prune,
    capture,
    command_line,
    compress,
    compression_sensitivity,
    gptq,
    kept_files,
    metric,
    mixed_precision,
    naive,
    qdrop,
    sensitivity,
    train,
    version_facts,
)

X = torch.rand(48, 1, 8, 8, generator=torch.Generator().manual_seed(0))
Y = torch.arange(48) % 3


def network(*, conv=None, eps=1e-5, momentum=0.1, p=0.1, affine=None, size=1):
    """The same numbers whatever the settings are."""
    torch.manual_seed(0)
    first = nn.Conv2d(1, 4, 3, **{"padding": 1, **(conv or {})})
    norm, drop = nn.BatchNorm2d(4, eps=eps, momentum=momentum), nn.Dropout(p)
    second, head = nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4 * size * size, 3)
    layers = (first, norm, nn.ReLU(), drop, second, nn.ReLU(), nn.AdaptiveAvgPool2d(size), nn.Flatten(), head)
    return capture(nn.Sequential(*layers).eval(), X[:2])


NETWORK = network()
OTHER_NETWORKS = {
    "0.stride": network(conv={"stride": 2}),
    "0.dilation": network(conv={"dilation": 2}),
    "0.padding": network(conv={"padding": 2}),
    "reflect": network(conv={"padding_mode": "reflect"}),
    "1.eps": network(eps=1e-2),
    "1.momentum": network(momentum=0.5),
    "3.p": network(p=0.2),
}


@dataclass(frozen=True)
class Run:
    """What a job is given."""

    network: Any = NETWORK
    x: torch.Tensor = X
    y: torch.Tensor = Y
    more: dict[str, Any] = field(default_factory=dict)


def trained(it, folder):
    made = it.network.copy()
    train(made, (it.x, it.y), **{"epochs": 1, "learning_rate": 0.05, **it.more}, folder=folder)
    return made


def pruned(it, folder):
    made = it.network.copy()
    bayesian_prune(made, (it.x, it.y), **{"epochs": 1, **it.more}, folder=folder)
    return made


def felt(it, folder):
    return sensitivity(naive(it.network, it.x), (it.x, it.y), metric("top1"), bits=(4,), **it.more, folder=folder)


def searched(it, folder):
    how = {"drop": 200.0, **it.more}
    return auto(it.network, (it.x, it.y), metric("top1"), **how, folder=folder)


def compressed(it, folder):
    how = {"macs": 0.7, "ways": (1.0,), **it.more}
    return compress(it.network, (it.x, it.y), metric("top1"), **how, folder=folder)


def borne(it, folder):
    how = {"shares": (0.5,), "kinds": ("channels",), **it.more}
    return compression_sensitivity(it.network.copy(), (it.x, it.y), metric("top1"), **how, folder=folder)


def mixed(it, folder):
    how = {"budget": "W6A8", "candidates": ((4, 8), (8, 8)), **it.more}
    return mixed_precision(it.network, it.x, **how, folder=folder)


JOBS = {
    "train": (trained, {"learning_rate": 0.1}),
    "bayesian_prune": (pruned, {"strength": 2.0}),
    "gptq": (lambda it, folder: gptq(it.network, it.x, **{"weights": 3, **it.more}, folder=folder), {"seed": 1}),
    "adaround": (lambda it, f: adaround(it.network, it.x, **{"iterations": 5, **it.more}, folder=f), {"iterations": 6}),
    "qdrop": (lambda it, f: qdrop(it.network, it.x, **{"iterations": 3, **it.more}, folder=f), {"iterations": 4}),
    "sensitivity": (felt, {}),
    "mixed_precision": (mixed, {"cost": "bytes"}),
    "compress": (compressed, {"criterion": "norm"}),
    "compression_sensitivity": (borne, {"seed": 1}),
    "auto": (searched, {"seed": 1}),
}
LABELLED = ("train", "bayesian_prune", "sensitivity", "compress", "compression_sensitivity", "auto")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder for each job in which it ran to its end, made when it is first asked for."""
    made = {}

    def of(job):
        if job not in made:
            made[job] = tmp_path_factory.mktemp(job) / "run"
            JOBS[job][0](Run(), made[job])
        return made[job]

    return of


def assert_refused(job, folder, it, told):
    before = {path: path.read_bytes() for path in kept_files(folder)}
    with pytest.raises(Refusal, match=f"another run, which differs in .*{told}"):
        JOBS[job][0](it, folder)
    assert {path: path.read_bytes() for path in kept_files(folder)} == before != {}


FOLDED = ("gptq", "adaround", "qdrop", "sensitivity")
"""Jobs that see weights into which the norm was folded: its momentum is gone, its eps is in them."""


@pytest.mark.parametrize("job", JOBS)
def test_another_network_is_refused_in_words(job, folders):
    for told, other in OTHER_NETWORKS.items():
        if job not in FOLDED:
            assert_refused(job, folders(job), Run(network=other), told)
        elif told != "1.momentum":
            assert_refused(job, folders(job), Run(network=other), "the network" if told == "1.eps" else told)


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("sample", [0, 40, 47])
def test_another_value_at_any_place_of_the_data_is_refused(job, sample, folders):
    x = X.clone()
    x[sample, 0, 3, 3] = 0.5
    assert_refused(job, folders(job), Run(x=x), "(data|calibration|the network)")


@pytest.mark.parametrize("job", LABELLED)
@pytest.mark.parametrize("sample", [0, 40, 47])
def test_another_label_is_refused(job, sample, folders):
    y = Y.clone()
    y[sample] = 1 - y[sample] if y[sample] < 2 else 0
    assert_refused(job, folders(job), Run(y=y), "labels of (labelled data|data|calibration)")


@pytest.mark.parametrize("job", [job for job, (_, other) in JOBS.items() if other])
def test_another_option_is_refused(job, folders):
    other = JOBS[job][1]
    assert_refused(job, folders(job), Run(more=other), next(iter(other)))


@pytest.mark.parametrize("job", JOBS)
def test_another_version_is_refused(job, folders, monkeypatch):
    folder = folders(job)
    monkeypatch.setattr(version_facts, lambda: {"microjoule": "0.0.1", "torch": torch.__version__})
    assert_refused(job, folder, Run(), r"microjoule \(0\.0\.1 here, ")


def results(job, folder):
    """What a job ends in, as numbers and words; parts that are done again are told by warnings."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        made = JOBS[job][0](Run(), folder)
    told = [str(one.message) for one in seen if "is done again" in str(one.message)]
    if hasattr(made, "state_dict"):
        return [tensor.clone() for tensor in made.state_dict().values()], told
    return [torch.tensor(row.value) for row in made.rows], told


@pytest.mark.parametrize("job", JOBS)
def test_a_flipped_bit_in_any_file_is_never_taken(job, folders):
    folder, drawn = folders(job), random.Random(job)
    right, told = results(job, folder)
    assert told == []
    for path in drawn.sample(kept_files(folder), min(3, len(kept_files(folder)))):
        content = bytearray(path.read_bytes())
        at = drawn.randrange(len(content) // 2, len(content))
        content[at] ^= 1 << drawn.randrange(8)
        path.write_bytes(content)
    found, told = results(job, folder)
    assert told
    assert all(torch.equal(one, other) for one, other in zip(right, found, strict=True))
    assert results(job, folder)[1] == []


@pytest.mark.slow
def test_scores_of_other_labels_are_refused_on_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    NETWORK.save("m.mj")
    told = []
    for labels in (Y, torch.cat([Y[:32], (Y[32:] + 1) % 3])):
        np.savez("d.npz", x=X.numpy(), y=labels.numpy())
        arguments = ["auto", "m.mj", "--data", "d.npz", "--out", "o.mj", "--work-folder", "work", "--drop", "100"]
        told.append(command_line(arguments))
    assert told == [0, 2]
    assert re.search(r"labels of data to confirm on \(batch", capsys.readouterr().err)
