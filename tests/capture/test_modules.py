import pytest
import torch
from torch import nn

from microjoule.capture.modules import LIFTED, RECURRENT, RECURRENT_TARGETS, recurrent
from microjoule.graph.ops import FUNCTION_KINDS, WEIGHTED, arguments


def arguments_of(module, *shape):
    program = torch.export.export(nn.Sequential(module).eval(), (torch.randn(2, *shape),), strict=False)
    targets = {*LIFTED, *RECURRENT_TARGETS}
    node = next(node for node in program.module(check_guards=False).graph.nodes if node.target in targets)
    return node.target, arguments(node)


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Conv1d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2), (4, 9)),
        (nn.Conv2d(4, 6, (3, 1), padding="same", bias=False), (4, 9, 9)),
        (nn.Conv3d(2, 3, 2, padding=(1, 0, 1)), (2, 4, 4, 4)),
        (nn.ConvTranspose1d(4, 6, 3, stride=2, output_padding=1, groups=2), (4, 9)),
        (nn.ConvTranspose2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), bias=False), (4, 9, 9)),
        (nn.ConvTranspose3d(2, 4, 2), (2, 4, 4, 4)),
        (nn.Linear(5, 3, bias=False), (5,)),
        (nn.BatchNorm1d(5, eps=1e-3, momentum=0.3), (5,)),
        (nn.BatchNorm2d(4, affine=False), (4, 3, 3)),
        (nn.LayerNorm((3, 5), eps=1e-3, bias=False), (3, 5)),
        (nn.LayerNorm(5, elementwise_affine=False), (3, 5)),
        (nn.GroupNorm(2, 4, affine=False), (4, 3)),
        (nn.PReLU(4), (4, 3)),
    ],
    ids=repr,
)
def test_an_operator_becomes_the_module_that_it_came_from(module, shape):
    target, args = arguments_of(module, *shape)
    assert repr(LIFTED[target].make(args)) == repr(module)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported", "ignore:The tensor attributes")
@pytest.mark.parametrize(
    "module",
    [
        nn.LSTM(3, 5, batch_first=True),
        nn.LSTM(3, 5, num_layers=2, bidirectional=True, bias=False),
        nn.LSTM(3, 5, proj_size=2),
        nn.GRU(3, 5, num_layers=3, dropout=0.2),
        nn.RNN(3, 5, nonlinearity="relu"),
        nn.RNN(3, 5),
    ],
    ids=repr,
)
def test_a_recurrent_operator_becomes_the_module_that_it_came_from(module):
    target, args = arguments_of(module, 7, 3)
    made = recurrent(target._schema.name.partition("::")[2], args)
    assert {name: p.shape for name, p in made.named_parameters()} == {n: p.shape for n, p in module.named_parameters()}
    expected = repr(module).replace(", nonlinearity=relu", "")
    assert repr(made).replace(", dropout=0.2", "") == expected.replace(", dropout=0.2", "")


def test_every_recurrent_operator_has_its_module():
    assert {target._schema.name.partition("::")[2] for target in RECURRENT_TARGETS} == set(RECURRENT)


def test_every_layer_with_weights_on_the_written_list_can_be_lifted():
    weighted = {target for target, kind in FUNCTION_KINDS.items() if kind in WEIGHTED}
    assert weighted <= set(LIFTED)
