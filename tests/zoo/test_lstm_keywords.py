"""An LSTM reads the frames in order."""

import torch

from microjoule.zoo.lstm_keywords import LstmKeywords


def test_the_order_of_frames_matters() -> None:
    torch.manual_seed(0)
    network, x = LstmKeywords(), torch.randn(2, 1, 5, 10)
    assert network(x).shape == (2, 12)
    assert not torch.allclose(network(x), network(x.flip(2)))
