"""One seed for all random numbers."""

import random

import numpy as np
import torch

from microjoule.cli.seed import seed_everything


def drawn():
    return random.random(), float(np.random.rand()), torch.rand(3).tolist()


def test_the_same_seed_gives_the_same_numbers_everywhere():
    seed_everything(5)
    first = drawn()
    seed_everything(5)
    assert drawn() == first
    seed_everything(6)
    assert drawn() != first
