import pytest
import torch
from torch import nn

from microjoule.capture.export import capture
from microjoule.capture.source import accepted, as_it_was, device_of, first_line
from microjoule.errors import CaptureError
from tests.capture.models import Function, images


def test_a_wrapper_is_taken_off():
    module = nn.Linear(4, 3)
    assert accepted(nn.DataParallel(module)) is module


def broken(value):
    module = nn.Linear(4, 3)
    with torch.no_grad():
        module.bias[1] = value
    return module


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (lambda: torch.relu, "is no nn.Module"),
        (lambda: torch.jit.script(nn.Linear(4, 3)), "TorchScript"),
        (lambda: nn.LazyLinear(3), "has no values yet"),
        (lambda: nn.Linear(4, 3, device="meta"), "meta device"),
        (lambda: broken(torch.nan), "bias: holds NaN"),
        (lambda: nn.Linear(4, 3, dtype=torch.complex64), "complex64"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:Complex modules")
def test_what_is_no_ordinary_model_is_refused(module, said):
    with pytest.raises(CaptureError, match=said):
        accepted(module())


def test_a_model_on_two_devices_is_refused():
    module = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2, device="meta"))
    with pytest.raises(CaptureError, match="is on 2 devices: cpu, meta"):
        device_of(module)
    assert device_of(nn.ReLU()) is None


def test_a_model_is_as_it_was_whatever_its_forward_leaves_behind():
    module = nn.Sequential(nn.BatchNorm1d(4)).train()
    module.seen = [1]
    with as_it_was(module):
        assert not module.training
        module[0].running_mean.fill_(7)
        module.seen.append(2)
        module.other = 3
    assert module.training
    assert module[0].training
    assert torch.equal(module[0].running_mean, torch.zeros(4))
    assert module.seen == [1]
    assert not hasattr(module, "other")


def test_a_model_that_does_not_run_is_named_by_the_users_line():
    with pytest.raises(CaptureError, match=r"test_source\.py.*\n?.*does not run on the example inputs"):
        capture(Function(lambda m, x: m.linear(x), linear=nn.Linear(5, 3)), images(2, 4))


def test_the_first_line_of_an_error():
    assert first_line(ValueError("one\ntwo")).endswith("one")
