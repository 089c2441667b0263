import pytest
import torch
from torch import nn

from microjoule.errors import FileError, SettingError
from microjoule.graph.file.own_classes import classes_by_name, made, own_settings


class Plain(nn.Module):
    def __init__(self, size, names=("a", "b"), *, share=0.5, dtype=None):
        super().__init__()
        self.size, self.names, self.share = size, names, share
        self.weight = nn.Parameter(torch.ones(size, dtype=dtype))


class Saying(nn.Module):
    """Its `bias` is a parameter, and its argument a switch."""

    def __init__(self, bias):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(2)) if bias else None

    def settings(self):
        return {"bias": self.bias is not None}


def test_arguments_are_attributes_of_the_same_name():
    assert own_settings("a", Plain, Plain(3, share=0.25)) == {"size": 3, "names": {"tuple": ["a", "b"]}, "share": 0.25}
    assert own_settings("a", Plain, Plain(3), without=("names", "share")) == {"size": 3}


def test_a_class_may_say_its_settings_itself():
    assert own_settings("a", Saying, Saying(True)) == {"bias": True}


def unsound(**attributes):
    module = Plain(2)
    for name, value in attributes.items():
        setattr(module, name, value)
    return module


@pytest.mark.parametrize(
    ("cls", "module", "fact"),
    [
        (Plain, unsound(names=torch.ones(2)), "its setting 'names' is a Tensor"),
        (Plain, unsound(names=[{1: 2}]), "its setting 'names' is a list"),
        (Plain, unsound(share=print), "its setting 'share' is a builtin_function_or_method"),
        (nn.Bilinear, nn.Bilinear(2, 2, 2), "its setting 'bias' is a Parameter"),
        (nn.Sequential, nn.Sequential(), "takes 'args', and it has no attribute of that name"),
        (nn.ReLU, unsound(settings=lambda: [1]), r"its settings\(\) gives no dict"),
    ],
)
def test_what_is_not_plain_cannot_be_saved(cls, module, fact):
    with pytest.raises(
        FileError, match=rf"here: a {cls.__name__} cannot be saved: .*{fact}.*\n  give the class a method"
    ):
        own_settings("here", cls, module)


def test_a_module_is_made_without_values():
    module = made("Plain", {"Plain": Plain}, {"size": 10**6, "names": {"tuple": ["x"]}}, {})
    assert module.weight.is_meta
    assert module.names == ("x",)


def test_a_class_that_was_not_handed_over_is_refused():
    with pytest.raises(FileError, match=r"cannot bring Plain along\n  hand it over, .*allow=\[Plain\]"):
        made("Plain", {"Other": Plain}, {"size": 1}, {})


class Reading(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.ones(3)[0].item()


class Loose(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = torch.ones(3)


@pytest.mark.parametrize(
    ("cls", "settings", "fact"),
    [
        (Plain, {}, "Plain cannot be made with {}: .*missing 1 required positional argument"),
        (Plain, {"size": "x"}, "cannot be made with"),
        (Plain, {"size": -1}, "cannot be made with"),
        (Plain, [], "the settings of a Plain are no dict"),
        (Plain, {"size": {"node": "x"}}, "'x'"),
        (Reading, {}, "Reading cannot be made"),
        (Loose, {}, "Loose holds the tensor table in no buffer"),
    ],
)
def test_what_cannot_be_made_is_refused(cls, settings, fact):
    with pytest.raises((ValueError, KeyError), match=fact):
        made(cls.__name__, {cls.__name__: cls}, settings, {})


def test_two_classes_of_one_name_cannot_be_told_apart():
    assert classes_by_name([Plain, Saying, Plain]) == {"Plain": Plain, "Saying": Saying}
    with pytest.raises(SettingError, match="allow: holds two classes called Plain"):
        classes_by_name([Plain, type("Plain", (nn.Module,), {})])
