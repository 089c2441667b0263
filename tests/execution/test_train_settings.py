"""What a run is told, by itself; `test_train` shows that it is refused before anything is done."""

import pytest
import torch
from torch import nn

from microjoule.capture.export import capture
from microjoule.errors import DataError, SettingError
from microjoule.execution.distill import Teacher
from microjoule.execution.train_settings import Numbers, Watch, as_teacher, find_loss, name_of
from tests.capture.models import images


def test_cross_entropy_by_hand():
    loss = find_loss("cross_entropy")
    assert loss(torch.tensor([[0.0, 0.0]]), torch.tensor([1])).item() == pytest.approx(0.6931472)
    with pytest.raises(DataError, match="not logits"):
        loss((torch.zeros(1, 2),), torch.tensor([1]))


def test_a_loss_of_ones_own_stays():
    assert find_loss(torch.dist) is torch.dist
    with pytest.raises(SettingError, match="loss: is 'mse'"):
        find_loss("mse")


def test_a_network_alone_is_a_teacher():
    network = capture(nn.Linear(4, 2), images(2, 4))
    assert as_teacher(network, network) == Teacher(network)
    own = Teacher(network, weight=1.0)
    assert as_teacher(own, network) is own


def test_a_function_is_called_by_its_name_as_its_address_differs_from_run_to_run():
    assert name_of(find_loss) == "find_loss"
    assert name_of(nn.Identity()) == "Identity"
    assert (name_of("sgd"), name_of(None), name_of(0.5)) == ("sgd", "None", "0.5")


def test_a_warm_up_may_take_all_epochs():
    assert Numbers(2, 0.1, 2.0, 0.0, 8, "float32", None, 0).warmup == 2


def test_a_metric_needs_data_and_data_a_metric():
    assert Watch(None, None, None).valid is None
    with pytest.raises(SettingError, match="give both"):
        Watch([1], None, None)
