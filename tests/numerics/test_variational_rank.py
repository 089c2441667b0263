import pytest
import torch
from torch import tensor
from torch.testing import assert_close

from microjoule.numerics.variational_rank import free_energy, variational_rank


def planted(rank, rows, columns, noise, seed=0):
    generator = torch.Generator().manual_seed(seed)
    left, right = torch.randn(rows, rank, generator=generator), torch.randn(rank, columns, generator=generator)
    return left @ right + noise * torch.randn(rows, columns, generator=generator)


@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (30, 200)], ids=str)
@pytest.mark.parametrize("rank", [1, 3, 8])
def test_a_planted_rank_is_found(shape, rank):
    for noise in (0.01, 0.3):
        assert variational_rank(planted(rank, *shape, noise)) == rank


def test_scale_and_transposition_make_no_difference():
    matrix = planted(4, 30, 50, 0.2)
    assert variational_rank(1e-6 * matrix) == variational_rank(1e6 * matrix) == variational_rank(matrix.T) == 4


def test_noise_alone_has_no_rank():
    assert variational_rank(planted(1, 60, 80, 1.0) - planted(1, 60, 80, 0.0)) == 0


def test_what_lies_under_the_noise_is_not_found():
    strong, weak = planted(2, 50, 70, 0.0), 0.02 * planted(3, 50, 70, 0.0, seed=1)
    generator = torch.Generator().manual_seed(2)
    noise = torch.randn(50, 70, generator=generator)
    assert variational_rank(strong + weak + 0.5 * noise) == 2
    assert variational_rank(strong + weak + 0.001 * noise) == 5


def test_a_matrix_of_zeros_has_rank_zero():
    assert variational_rank(torch.zeros(3, 4)) == 0


def test_the_free_energy_by_hand():
    """a = 1, one value of 1 under the limit: 1 - log 1. One of 9: t = (7 + sqrt(45)) / 2 = 6.854."""
    assert free_energy(tensor([1.0]), 1.0, 8.0) == 1
    t = 6.854102
    expected = 9 - t + torch.log(tensor((t + 1) / 9)) + torch.log(tensor(t + 1))
    assert_close(tensor(free_energy(tensor([9.0]), 1.0, 8.0)), expected)


def test_the_limit_is_where_keeping_a_value_begins_to_pay():
    """At the paper's threshold the energies of keeping a component and of taking it for noise are the same."""
    for ratio in (0.25, 1.0):
        slope = 2.5129 * ratio**0.5
        limit = tensor([(1 + slope) * (1 + ratio / slope)], dtype=torch.float64)
        kept, noise = free_energy(limit, ratio, float(limit) - 1e-9), free_energy(limit, ratio, float(limit))
        assert kept == pytest.approx(noise, abs=1e-2)
