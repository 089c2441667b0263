"""Samples are told from others, in whatever batches they come."""

import pytest
import torch

from microjoule.execution.average_precision import Boxes
from microjoule.execution.sample_identity import LOOKED_AT, SampleIdentity


def images(seed=0):
    return torch.rand(12, 3, 5, 5, generator=torch.Generator().manual_seed(seed))


def labels():
    return torch.arange(12) % 4


def identity(inputs, targets, size=5):
    found = SampleIdentity()
    for at in range(0, 12, size):
        found.update(tuple(x[at : at + size] for x in inputs), targets[at : at + size])
    return found.hexdigest()


@pytest.mark.parametrize("size", [1, 2, 4, 12])
def test_how_they_are_batched_does_not_matter(size):
    assert identity((images(),), labels(), size) == identity((images(),), labels())


def other_label():
    targets = labels()
    targets[11] = 0
    return (images(),), targets


def other_order():
    order = torch.arange(12).flip(0)
    return (images()[order],), labels()[order]


OTHERS = {
    "one label": other_label(),
    "one image": ((torch.cat([images()[:11], images(1)[11:]]),), labels()),
    "order": other_order(),
    "fewer": ((images()[:11],), labels()[:11]),
    "half the pixels' values": ((images() / 2,), labels()),
    "precision": ((images().double(),), labels()),
    "shape": ((images().flatten(2),), labels()),
    "type of labels": ((images(),), labels().int()),
    "two inputs": ((images(), images()), labels()),
    "one-hot labels": ((images(),), torch.nn.functional.one_hot(labels())),
}


@pytest.mark.parametrize("name", OTHERS)
def test_others_have_another_identity(name):
    assert identity(*OTHERS[name]) != identity((images(),), labels())


def test_every_place_of_a_large_sample_is_near_one_that_is_looked_at():
    large = torch.zeros(12, 4 * LOOKED_AT)
    changed = large.clone()
    changed[3, 100:104] = 1
    assert identity((changed,), labels()) != identity((large,), labels())


def boxes(counts):
    draws = torch.Generator().manual_seed(0)
    return [Boxes(torch.rand(n, 4, generator=draws), torch.zeros(n, dtype=torch.int64)) for n in counts]


def test_lists_of_boxes_are_told_apart_whatever_the_batches():
    counts = [at % 3 for at in range(12)]
    whole = identity((images(),), boxes(counts), 4)
    assert whole == identity((images(),), boxes(counts), 3)
    assert whole != identity((images(),), boxes(counts[::-1]), 4)


def test_targets_of_text_and_none_count():
    names = [f"sample {at}" for at in range(12)]
    assert identity((images(),), names, 4) == identity((images(),), names, 6)
    assert identity((images(),), names, 4) != identity((images(),), [*names[:-1], "other"], 4)
