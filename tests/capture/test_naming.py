import pytest
import torch
import torch.nn.functional as F
from torch import nn

from microjoule.capture.export import capture
from tests.capture.models import MODELS, Function, images


def names(module, *args):
    return [node.name for node in capture(module, args).graph.nodes][len(args) : -1]


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.act(self.conv(x) + x)


class Swish(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(x)


def test_a_function_of_a_module_of_its_own_has_that_modules_path():
    features = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.ReLU6(inplace=True), nn.MaxPool2d(2))
    module = Function(lambda m, x: m.features(x), features=features)
    assert names(module, images(2, 4, 4, 4)) == ["features_0", "features_1", "features_2", "features_3"]


def test_paths_of_numbers_are_names_as_well():
    assert names(nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(inplace=True)), images(2, 4, 4, 4)) == ["_0", "_1"]


def test_other_functions_have_the_path_of_their_module_and_the_operators_name():
    assert names(nn.Sequential(Block(), Swish()), images(2, 4, 4, 4)) == [
        "_0_conv",
        "_0_add",
        "_0_act",
        "_1_sigmoid",
        "_1_mul",
    ]


def test_functions_of_the_model_itself_have_the_operators_name_without_its_underscore():
    def function(m, x):
        return F.relu_(F.relu_(F.relu_(x + 1) + 1))

    assert names(Function(function), images(2, 4)) == ["add", "relu", "add_1", "relu_1", "relu_2"]


def test_further_calls_of_a_module_are_numbered():
    module = Function(lambda m, x: m.act(m.conv(m.act(m.conv(x)))), conv=nn.Conv2d(4, 4, 1), act=nn.ReLU())
    assert names(module, images(2, 4, 4, 4)) == ["conv", "act", "conv_call2", "act_call2"]


def test_a_further_call_takes_no_other_modules_name():
    inner = nn.ModuleList([nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)])
    module = Function(lambda m, x: m.inner[1](m.inner[0](m.inner[0](x))), inner=inner)
    assert names(module, images(2, 4, 4, 4)) == ["inner_0", "inner_0_call2", "inner_1"]


def test_outputs_of_a_recurrent_layer_are_told_from_the_layer():
    module = Function(lambda m, x: m.lstm(x)[0], lstm=nn.LSTM(3, 5, batch_first=True))
    found = names(module, images(2, 7, 3))
    assert found[-2:] == ["lstm", "lstm_getitem"]


def test_inputs_keep_their_names():
    class Model(nn.Module):
        def forward(self, image, input, add):
            return image + input + add

    found = [node.name for node in capture(Model(), (images(2, 3),) * 3).graph.nodes]
    assert found[0] == "image"
    assert found[2] == "add"
    assert found[3:5] == ["add_1", "add_2"]


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")
@pytest.mark.parametrize("name", MODELS)
def test_names_are_unique_identifiers_without_a_trailing_underscore(name):
    module, args = MODELS[name]
    found = [node.name for node in capture(module, args).graph.nodes]
    assert len(set(found)) == len(found)
    assert all(one.isidentifier() and not one.endswith("_") for one in found)
