import pytest

from microjoule.compression.bayesian.gate import Gate


def test_a_gate_says_all_that_is_asked_of_it():
    with pytest.raises(TypeError, match="abstract"):
        Gate()
