"""Parts that are joined and taken apart again: the same values, without the concatenation."""

import pytest
import torch
from torch.testing import assert_close

import microjoule as mj
from microjoule.graph.decompose import decompose
from microjoule.graph.ops import kind
from tests.graph.functions import of

A, B, C = (torch.randn(2, n, 3, 4, generator=torch.Generator().manual_seed(n)) for n in (2, 3, 5))


def detector(a, b, c):
    """Two sizes of boxes and scores, each joined and flattened, joined over the sizes, and split again."""
    sizes = [torch.cat([a, b], 1), torch.cat([a.flip(1)[..., :2], b[..., 1:3]], 1)]
    joined = torch.cat([one.view(one.shape[0], 5, -1) for one in sizes], 2)
    boxes, scores = joined.split((2, 3), 1)
    return boxes * 2, scores.sigmoid(), c


@pytest.mark.parametrize(
    ("function", "count", "left"),
    [
        (lambda a, b, c: [part * 2 for part in torch.cat([a, b, c], 1).split((2, 3, 5), 1)], 3, 0),
        (lambda a, b, c: torch.cat([a, b, c], 1)[:, 2:5] * 2, 1, 0),
        (lambda a, b, c: torch.cat([a, b, c], 1)[:, 3:5] * 2, 0, 1),
        (lambda a, b, c: torch.cat([a, b, c], 1)[:, :5] * 2, 1, 1),
        (lambda a, b, c: torch.cat([a, b, c], 1)[:, 1:5] * 2, 0, 1),
        (lambda a, b, c: torch.cat([a, b, c], 1).narrow(1, 5, 5) * 2, 1, 0),
        (lambda a, b, c: torch.cat([a, b, c], 1).chunk(2, 1)[1] * 2, 1, 0),
        (lambda a, b, c: torch.cat([a, b, c], 1).split(5, 1)[1] * 2, 1, 0),
        (lambda a, b, c: torch.cat([a, b, c], 1).permute(0, 2, 3, 1)[..., 5:] * 2, 1, 0),
        (lambda a, b, c: torch.cat([a, b, c], 1).transpose(1, 3)[..., 5:] * 2, 1, 0),
        (lambda a, b, c: torch.cat([a, b, c], 1).flatten(2)[:, 5:] * 2, 1, 0),
        (lambda a, b, c: torch.cat([a, b, c], 1)[:, ::2] * 2, 0, 1),
        (lambda a, b, c: torch.cat([a, b, c], 1).flatten(1)[:, 60:] * 2, 0, 1),
        (detector, 2, 2),
    ],
    ids=[
        *("split", "slice", "inside a part", "several parts", "across parts", "narrow", "chunk", "split alike"),
        *("permuted", "transposed", "flattened behind", "every other", "flattened across", "detector"),
    ],
)
def test_a_part_is_read_where_it_was_made(function, count, left):
    network = mj.capture(of(function), (A, B, C))
    done = decompose(network, ())
    assert done.get("a split of joined parts", 0) == count
    assert sum(kind(network.module, node) == "concat" for node in network.graph.nodes) == left
    for given in ((A, B, C), tuple(torch.cat([one, one.flip(0)]) for one in (A, B, C))):
        assert_close(network(*given), function(*given), rtol=0, atol=0)
