import pytest
import torch
from torch import nn
from torch.fx import symbolic_trace
from torch.nn.utils import parametrize

from microjoule.errors import FileError
from microjoule.graph.file.modules import decode_module, encode_modules, require_declared
from microjoule.graph.file.tensors import TensorReader, TensorWriter
from microjoule.graph.quantizer import Quantizer
from microjoule.numerics.affine import Affine
from microjoule.numerics.grid import IntGrid, Scheme
from tests.graph.file.test_settings import MADE

PER_CHANNEL = Scheme(IntGrid(4), symmetric=True, axis=0)


def stored(module):
    """Its entry in a file, and the tensors that are with it."""
    writer = TensorWriter()
    root = symbolic_trace(nn.Sequential())
    root.add_module("layer", module)
    return encode_modules(root, writer)[1], dict(writer._by_key)


def again(entry, tensors, classes=None):
    return decode_module(entry, TensorReader({key: t.detach() for key, t in tensors.items()}), classes or {})


def quantized():
    layer = nn.Conv2d(2, 3, 1)
    quantizer = Quantizer(PER_CHANNEL)
    parametrize.register_parametrization(layer, "weight", quantizer)
    quantizer.set_range(-torch.ones(3), torch.tensor([1.0, 2.0, 4.0]))
    quantizer.hold(torch.arange(-3, 3).reshape(3, 2, 1, 1))
    return layer


@pytest.mark.filterwarnings("ignore:dropout option")
@pytest.mark.parametrize("module", MADE, ids=repr)
@pytest.mark.parametrize("training", [False, True])
def test_a_layer_comes_back_with_its_tensors(module, training):
    module = module.train(training)
    found = again(*stored(module))
    assert repr(found) == repr(module)
    assert found.training == training
    assert set(found.state_dict()) == set(module.state_dict())
    for name, tensor in module.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor)
    assert not any(t.is_meta for t in (*found.parameters(), *found.buffers()))


def test_tensors_beside_those_of_its_class_come_back():
    layer = nn.Linear(2, 2)
    layer.register_parameter("gain", nn.Parameter(torch.ones(1), requires_grad=False))
    layer.register_buffer("count", torch.zeros(3), persistent=False)
    found = again(*stored(layer))
    assert not found.gain.requires_grad
    assert found.count.shape == (3,)
    assert "count" not in found.state_dict()


def test_a_weight_that_is_a_buffer_comes_back_as_one():
    layer = nn.Linear(2, 2, bias=False)
    weight = layer._parameters.pop("weight").data
    layer.register_buffer("weight", weight)
    found = again(*stored(layer))
    assert torch.equal(found._buffers["weight"], weight)
    assert not list(found.parameters())


def test_a_quantized_weight_comes_back():
    layer = quantized()
    found = again(*stored(layer))
    assert torch.equal(found.weight, layer.weight)
    assert found.parametrizations.weight[0].scheme == PER_CHANNEL
    assert torch.equal(found.parametrizations.weight.original, layer.parametrizations.weight.original)


def test_a_parametrization_that_is_no_quantizer_is_refused():
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
    with pytest.raises(FileError, match=r"layer\.weight: has a parametrization that cannot be saved"):
        stored(layer)


@pytest.mark.parametrize("path", ['a"b', "a\nb"])
def test_a_path_that_a_file_cannot_name_is_refused(path):
    root = symbolic_trace(nn.Sequential())
    root.add_module(path, nn.Linear(1, 1))
    with pytest.raises(FileError, match="rename that module before it is captured"):
        encode_modules(root, TensorWriter())


# Entries that are unsound ---------------------------------------------------------------------------------------------


def set_scheme(**changes):
    return lambda entry, _: entry["quantizers"]["weight"]["scheme"].update(changes)


def set_tensor(end, value):
    def change(entry, tensors):
        key = next(key for key in tensors if key.startswith(end))
        tensors[key] = value(tensors[key]) if callable(value) else value

    return change


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        (set_scheme(grid={"bits": 99, "signed": True, "narrow": False}), "1 to 16 bits"),
        (set_scheme(grid={"bits": 4, "signed": 1, "narrow": False}), "a quantizer's scheme is"),
        (set_scheme(axis=2.0), "a quantizer's scheme is"),
        (set_scheme(axis=4), "index out of range"),
        (set_scheme(block=0), "holds 0 channels"),
        (set_scheme(more=1), "unexpected keyword argument"),
        (set_scheme(grid=3), "a quantizer has no scheme"),
        (set_scheme(axis=None), "has scales for channels and no axis"),
        (set_tensor("scale", lambda t: -t), "scale is not above 0"),
        (set_tensor("scale", lambda t: t * float("nan")), "scale is not above 0"),
        (set_tensor("scale", lambda t: t.int()), "no number for the tensor or each channel"),
        (set_tensor("scale", lambda t: t[:, None]), "no number for the tensor or each channel"),
        (set_tensor("scale", lambda t: t[:2]), "no number for the tensor or each channel"),
        (set_tensor("zero_point", lambda t: t + 99), "zero point is not on its grid"),
        (set_tensor("zero_point", lambda t: t.float()), "zero point is not on its grid"),
        (set_tensor("integers", lambda t: t + 99), "integers are outside of their grid"),
        (set_tensor("integers", lambda t: t.float()), "integers are outside of their grid"),
        (set_tensor("integers", lambda t: t[:, :1]), "and its integers"),
        (lambda e, _: e["quantizers"]["weight"].update(enabled=1), "enabled is 1"),
        (lambda e, _: e["quantizers"].update(other=e["quantizers"]["weight"]), "'other', which is no tensor"),
        (lambda e, _: e["quantizers"]["weight"].pop("zero_point"), "zero_point"),
        (lambda e, _: e["settings"].update(in_channels=16_000), "and its settings say"),
        (lambda e, _: e["settings"].update(groups=0), "its groups is 0"),
        (lambda e, _: e["parameters"].pop("weight"), "it lacks the tensor weight"),
        (lambda e, _: e["parameters"].update(forward=e["parameters"]["bias"]), "called 'forward', as something else"),
        (lambda e, _: e["parameters"].update(training=e["parameters"]["bias"]), "called 'training'"),
        (lambda e, _: e["buffers"].update(parametrizations=e["parameters"]["bias"]), "called 'parametrizations'"),
        (lambda e, _: e["buffers"].update({"a b": e["parameters"]["bias"]}), "'a b' is no name"),
        (lambda e, _: e["buffers"].update(bias=e["parameters"]["bias"]), "bias is a parameter and a buffer"),
        (lambda e, _: e["buffers"].update(more=["none", True]), "none"),
        (lambda e, _: e["parameters"]["bias"].__setitem__(1, 3), "is no parameter"),
    ],
)
def test_an_unsound_entry_is_refused(change, fact):
    entry, tensors = stored(quantized())
    change(entry, tensors)
    with pytest.raises((ValueError, LookupError, TypeError), match=fact):
        again(entry, tensors)


def test_scales_along_an_axis_that_a_weight_lacks_are_refused():
    layer = nn.Linear(2, 3)
    parametrize.register_parametrization(layer, "weight", Quantizer(PER_CHANNEL))
    entry, tensors = stored(layer)
    set_scheme(axis=2)(entry, tensors)
    with pytest.raises(ValueError, match="its scales along axis 2 of 2"):
        again(entry, tensors)


def test_undeclared_modules_are_found():
    root = nn.Sequential(nn.Linear(1, 1), quantized())
    require_declared(root, {"0", "1"})
    with pytest.raises(ValueError, match="a module lies at '1', which the file does not say"):
        require_declared(root, {"0"})


def test_an_affine_grid_for_the_whole_tensor_may_have_one_number_in_any_shape():
    quantizer = Quantizer(Scheme(IntGrid(8)))
    quantizer.set_affine(Affine(quantizer.scheme, torch.tensor(0.5), torch.tensor(3, dtype=torch.int32)))
    entry, tensors = stored(quantizer)
    found = again(entry, tensors)
    assert torch.equal(found(torch.tensor([0.3])), torch.tensor([0.5]))
