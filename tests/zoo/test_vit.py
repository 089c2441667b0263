"""A vision transformer reads all patches, and their order only by their positions."""

import torch

from microjoule.zoo.vit import VisionTransformer


def test_every_patch_has_a_say() -> None:
    torch.manual_seed(0)
    network = VisionTransformer(width=16, depth=1, heads=2, patch=4, grid=2, classes=3).eval()
    x = torch.randn(1, 3, 8, 8)
    for row, column in ((0, 0), (0, 4), (4, 0), (4, 4)):
        changed = x.clone()
        changed[:, :, row, column] += 1
        assert not torch.equal(network(changed), network(x))


def test_without_positions_the_order_of_patches_does_not_matter() -> None:
    torch.manual_seed(0)
    network = VisionTransformer(width=16, depth=2, heads=2, patch=4, grid=2, classes=3).eval()
    x = torch.randn(1, 3, 8, 8)
    swapped = torch.cat([x[:, :, 4:], x[:, :, :4]], 2)
    assert not torch.allclose(network(x), network(swapped), atol=1e-6)
    torch.nn.init.zeros_(network.pos_embed)
    torch.testing.assert_close(network(x), network(swapped))
