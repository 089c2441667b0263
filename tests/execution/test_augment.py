"""Random changes of images: what they may do, what they must not, and that chance follows from the seed."""

import pytest
import torch
from torch import Generator

from microjoule.errors import SettingError
from microjoule.execution.augment import flips_and_shifts, turns_and_shifts

IMAGES = torch.arange(1.0, 1 + 64 * 2 * 3 * 5).reshape(64, 2, 3, 5)


def chance(seed=0):
    return Generator().manual_seed(seed)


def test_each_image_is_one_of_its_shifts_or_their_mirror_images():
    moved = flips_and_shifts(pixels=1)(IMAGES, chance())
    seen = set()
    for before, after in zip(IMAGES, moved, strict=True):
        padded = torch.nn.functional.pad(before, (1, 1, 1, 1))
        windows = {(d, r): padded[:, d : d + 3, r : r + 5] for d in range(3) for r in range(3)}
        (found,) = [(*k, f) for k, w in windows.items() for f in (0, 1) if torch.equal(w.flip(2) if f else w, after)]
        seen.add(found)
    assert {s[:2] for s in seen} == {(d, r) for d in range(3) for r in range(3)}
    assert {s[2] for s in seen} == {0, 1}


def test_without_pixels_and_flips_nothing_changes():
    assert torch.equal(flips_and_shifts(pixels=0, flip=False)(IMAGES, chance()), IMAGES)


def test_letters_are_not_mirrored():
    still = flips_and_shifts(pixels=0, flip=False)(IMAGES, chance())
    mirrored = flips_and_shifts(pixels=0)(IMAGES, chance())
    same = [torch.equal(a, b) for a, b in zip(still, mirrored, strict=True)]
    assert 16 < sum(same) < 48
    assert all(torch.equal(a.flip(2), b) for a, b, s in zip(still, mirrored, same, strict=True) if not s)


@pytest.mark.parametrize("augment", [flips_and_shifts(), turns_and_shifts()], ids=["flips", "turns"])
def test_chance_follows_from_the_seed(augment):
    assert torch.equal(augment(IMAGES, chance(1)), augment(IMAGES, chance(1)))
    assert not torch.equal(augment(IMAGES, chance(1)), augment(IMAGES, chance(2)))
    assert augment(IMAGES, chance()).shape == IMAGES.shape


def test_without_turns_shifts_and_scales_an_image_stays():
    still = turns_and_shifts(degrees=0, pixels=0, scale=0)(IMAGES, chance())
    torch.testing.assert_close(still, IMAGES)


def test_a_turn_keeps_lengths_on_images_that_are_not_square():
    """A disc in the middle stays a disc: turned by any angle it is the same image."""
    y, x = torch.meshgrid(torch.arange(41.0) - 20, torch.arange(81.0) - 40, indexing="ij")
    disc = torch.sigmoid(8 - (x**2 + y**2).sqrt())[None, None].expand(8, -1, -1, -1)
    turned = turns_and_shifts(degrees=90, pixels=0, scale=0)(disc, chance())
    assert (turned - disc).abs().max() < 0.05


def test_a_shift_moves_by_at_most_so_many_pixels():
    dot = torch.zeros(256, 1, 21, 31)
    dot[:, :, 10, 15] = 1
    moved = turns_and_shifts(degrees=0, pixels=3, scale=0)(dot, chance())
    rows = (moved.sum(3) * (torch.arange(21.0) - 10)).sum((1, 2))
    columns = (moved.sum(2) * (torch.arange(31.0) - 15)).sum((1, 2))
    for offset in (rows, columns):
        assert 2.8 < offset.abs().max() <= 3.0001


@pytest.mark.parametrize(
    "make",
    [
        lambda: flips_and_shifts(pixels=-1),
        lambda: turns_and_shifts(degrees=-1),
        lambda: turns_and_shifts(pixels=-1),
        lambda: turns_and_shifts(scale=-0.1),
        lambda: turns_and_shifts(scale=1.0),
    ],
)
def test_changes_that_cannot_be_are_refused(make):
    with pytest.raises(SettingError):
        make()
