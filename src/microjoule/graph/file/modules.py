"""The modules of a network as entries of its file, and back: a class out of a written list, settings, and tensors.

A module is made without values in its tensors, with settings that fit the tensors that the file has for it; then it
gets those. So nothing is as large as a file says, only as large as it is.
"""

import warnings
from collections.abc import Container, Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import nn
from torch.fx import GraphModule
from torch.nn.utils import parametrize

from microjoule.errors import FileError
from microjoule.graph.file.names import identifier, path, text
from microjoule.graph.file.own_classes import made, own_settings
from microjoule.graph.file.settings import LAYERS, Shapes, check_settings
from microjoule.graph.file.tensors import TensorReader, TensorWriter
from microjoule.graph.quantizer import Quantizer
from microjoule.numerics.affine import Affine
from microjoule.numerics.grid import IntGrid, Scheme

CLASSES = {cls.__name__: cls for cls in LAYERS}
INNER = "parametrizations"
"""Where torch keeps the quantizer of a weight; the file says that in another way."""

QUANTIZER_TENSORS = ("scale", "zero_point", "integers", "held")
Classes = Mapping[str, type[nn.Module]]
"""Classes that the caller handed over, by name."""

# Writing --------------------------------------------------------------------------------------------------------------


def encode_modules(module: GraphModule, tensors: TensorWriter) -> list[dict[str, Any]]:
    """Every module that is not part of a parametrization, the root (with what it stores itself) first.

    Raises:
        FileError: for a module that cannot be saved.
    """
    first: dict[nn.Module, str] = {}
    entries: list[dict[str, Any]] = []
    inner: tuple[str, ...] = ()
    for place, one in module.named_modules(remove_duplicate=False):
        if f"{place}.".startswith(inner):
            continue
        if parametrize.is_parametrized(one):
            inner = (*inner, f"{place}.{INNER}.")
        shared = first.setdefault(one, place) != place
        entries.append({"path": place, "same": first[one]} if shared else _encode_module(place, one, tensors))
    return entries


def _encode_module(place: str, module: nn.Module, tensors: TensorWriter) -> dict[str, Any]:
    entry: dict[str, Any] = {"path": _saved_path(place), "training": module.training}
    if isinstance(module, Quantizer):
        return entry | {"class": "Quantizer", **_encode_quantizer(place, module, tensors)}
    cls = parametrize.type_before_parametrizations(module) if place else nn.Module
    if cls in LAYERS:
        entry |= {"class": cls.__name__, "settings": {name: getattr(module, name) for name in LAYERS[cls].settings}}
    else:
        entry |= {"class": cls.__qualname__, "own": True, "settings": own_settings(place, cls, module)}
    chains: dict[str, Any] = {}
    if parametrize.is_parametrized(module):
        chains.update(module.parametrizations)  # type: ignore[arg-type]
    for name, chain in chains.items():
        if not isinstance(chain[0], Quantizer) or len(chain) > 1:
            raise FileError(f"{place}.{name}", "has a parametrization that cannot be saved", remedy="remove it first")
    originals = {name: chain.original for name, chain in chains.items()}
    return entry | {
        "quantizers": {name: _encode_quantizer(f"{place}.{name}", c[0], tensors) for name, c in chains.items()},
        **_encode_tensors(place, module, tensors, originals),
    }


def _encode_tensors(
    place: str, module: nn.Module, tensors: TensorWriter, originals: Mapping[str, Any]
) -> dict[str, Any]:
    """A module's own parameters and buffers by name, each with its key."""
    parameters = {**originals, **{name: p for name, p in module._parameters.items() if p is not None}}
    buffers = {name: b for name, b in module._buffers.items() if b is not None}
    return {
        "parameters": {n: [tensors.store(f"parameter/{place}.{n}", p), p.requires_grad] for n, p in parameters.items()},
        "buffers": {
            n: [tensors.store(f"buffer/{place}.{n}", b), n not in module._non_persistent_buffers_set]
            for n, b in buffers.items()
        },
    }


def _encode_quantizer(place: str, quantizer: Quantizer, tensors: TensorWriter) -> dict[str, Any]:
    entry: dict[str, Any] = {"scheme": asdict(quantizer.scheme), "enabled": quantizer.enabled}
    if quantizer.calibrated:
        entry["scale"] = tensors.store(f"scale/{place}", quantizer.affine.scale)
        entry["zero_point"] = tensors.store(f"zero_point/{place}", quantizer.affine.zero_point)
    if quantizer.integers is not None:
        entry["integers"] = tensors.store(f"integers/{place}", quantizer.integers)
    if type(quantizer) is not Quantizer:
        if any(True for _ in quantizer.children()):
            raise FileError(place, "is a quantizer that holds modules, which cannot be saved", remedy="give it tensors")
        own = _encode_tensors(place, quantizer, tensors, {})
        own["buffers"] = {name: stored for name, stored in own["buffers"].items() if name not in QUANTIZER_TENSORS}
        settings = own_settings(place, type(quantizer), quantizer, without=("scheme",))
        entry["own"] = {"class": type(quantizer).__qualname__, "settings": settings, **own}
    return entry


def _saved_path(place: str) -> str:
    try:
        return path(place) if place else place
    except ValueError as error:
        raise FileError(
            place, f"cannot be saved: {error}", remedy="rename that module before it is captured"
        ) from error


# Reading --------------------------------------------------------------------------------------------------------------


def decode_module(entry: Any, tensors: TensorReader, classes: Classes) -> nn.Module:
    """The module of an entry.

    Raises:
        FileError: for a class of the user's own that was not handed over.
        ValueError, LookupError, TypeError: if the entry is no module, or does not fit its tensors.
    """
    if entry["class"] == "Quantizer":
        quantizer = decode_quantizer(entry, tensors, classes)
        quantizer.training = _switch(entry["training"], "training")
        return quantizer
    stored = _stored_shapes(entry, tensors)
    if entry.get("own"):
        module = made(text(entry["class"]), classes, entry["settings"], {})
        _require_shapes(module, stored)
    else:
        module = _layer(CLASSES[entry["class"]], entry["settings"], stored)
    _give(module, entry, tensors)
    if isinstance(module, nn.RNNBase):
        module._flat_weights = [getattr(module, name) for name in module._flat_weights_names]
    for name, quantizer in entry["quantizers"].items():
        if name not in stored:
            raise ValueError(f"a quantizer stands on {name!r}, which is no tensor")
        _quantize(module, name, decode_quantizer(quantizer, tensors, classes))
    module.training = _switch(entry["training"], "training")
    return module


def decode_quantizer(entry: Any, tensors: TensorReader, classes: Classes) -> Quantizer:
    """The quantizer of an entry.

    Raises:
        FileError, ValueError, LookupError, TypeError: as `decode_module`.
    """
    scheme = _scheme(entry["scheme"])
    if "own" in entry:
        own = entry["own"]
        quantizer = made(text(own["class"]), classes, own["settings"], {"scheme": scheme})
        if not isinstance(quantizer, Quantizer):
            raise ValueError(f"{own['class']} is no quantizer")
        _require_shapes(quantizer, _stored_shapes(own, tensors))
        _give(quantizer, own, tensors)
    else:
        quantizer = Quantizer(scheme)
    if "scale" in entry:
        affine = Affine(scheme, tensors.tensor(entry["scale"]), tensors.tensor(entry["zero_point"]))
        _require_sound(affine)
        quantizer.set_affine(affine)
    if "integers" in entry:
        integers = tensors.tensor(entry["integers"])
        if integers.is_floating_point() or integers.is_complex() or not _within(integers, scheme.grid):
            raise ValueError("integers are outside of their grid")
        quantizer.hold(integers)
    quantizer.enabled = _switch(entry["enabled"], "enabled")
    return quantizer


def require_declared(root: nn.Module, declared: Container[str]) -> None:
    """Raise if a module lies at a path that is not declared: modules that hold each other would never end."""
    inner: tuple[str, ...] = ()
    for place, one in root.named_modules(remove_duplicate=False):
        if f"{place}.".startswith(inner):
            continue
        if place and place not in declared:
            raise ValueError(f"a module lies at {place!r:.200}, which the file does not say")
        if parametrize.is_parametrized(one):
            inner = (*inner, f"{place}.{INNER}.")


def _layer(cls: type[nn.Module], settings: Any, stored: Shapes) -> nn.Module:
    given = check_settings(LAYERS[cls], settings, stored)
    device = {"device": "meta"} if stored else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # dropout after the only layer of a recurrent module, and the like
        return cls() if cls is nn.Module else cls(**given, **device)


def _stored_shapes(entry: Any, tensors: TensorReader) -> Shapes:
    """The shapes of a module's own tensors."""
    both = set(entry["parameters"]) & set(entry["buffers"])
    if both:
        raise ValueError(f"{', '.join(sorted(both))} is a parameter and a buffer")
    return {name: tensors.shape(key) for kind in ("parameters", "buffers") for name, (key, _) in entry[kind].items()}


def _require_shapes(module: nn.Module, stored: Shapes) -> None:
    """A module of one's own has the tensors that its class gives it, and no others."""
    own = {name: tuple(t.shape) for name, t in {**module._parameters, **module._buffers}.items() if t is not None}
    if own != stored:
        raise ValueError(f"a {type(module).__name__} has the tensors {own}, and the file {stored}")


def _give(module: nn.Module, entry: Any, tensors: TensorReader) -> None:
    """Put the file's tensors where the module has its own, or beside them."""
    known = {*module._parameters, *module._buffers}
    for name in (*entry["parameters"], *entry["buffers"]):
        if name not in known and (hasattr(module, identifier(name)) or name == INNER):
            raise ValueError(f"a tensor is called {name!r}, as something else is in a {type(module).__name__}")
    for name, (key, requires_grad) in entry["parameters"].items():
        module._buffers.pop(name, None)
        module._parameters[name] = tensors.parameter(key, requires_grad=requires_grad)
    for name, (key, persistent) in entry["buffers"].items():
        module._parameters.pop(name, None)
        module.register_buffer(name, tensors.tensor(key), persistent=_switch(persistent, "persistent"))


def _quantize(module: nn.Module, name: str, quantizer: Quantizer) -> None:
    stored = getattr(module, name)
    scheme, integers = quantizer.scheme, quantizer.integers
    if scheme.axis is not None and not -stored.dim() <= scheme.axis < stored.dim():
        raise ValueError(f"a quantizer has its scales along axis {scheme.axis} of {stored.dim()}")
    if integers is not None and integers.shape != stored.shape:
        raise ValueError(f"{name} has the shape {tuple(stored.shape)}, and its integers {tuple(integers.shape)}")
    parametrize.register_parametrization(module, name, quantizer)


def _scheme(entry: Any) -> Scheme:
    if not isinstance(entry, dict) or not isinstance(entry.get("grid"), dict):
        raise ValueError("a quantizer has no scheme")
    switches = (entry["symmetric"], entry["power_of_two"], entry["grid"]["signed"], entry["grid"]["narrow"])
    places = (entry["axis"], entry["block"])
    if not all(isinstance(one, bool) for one in switches) or any(type(one) not in (int, type(None)) for one in places):
        raise ValueError(f"a quantizer's scheme is {entry!r:.200}")
    return Scheme(**entry | {"grid": IntGrid(**entry["grid"])})


def _require_sound(affine: Affine) -> None:
    """A scale above 0 and a zero point on the grid, for the tensor or each of some channels."""
    scale, zero_point = affine.scale, affine.zero_point
    if not scale.is_floating_point() or scale.shape != zero_point.shape or scale.dim() > 1:
        raise ValueError("a quantizer's scale or zero point is no number for the tensor or each channel")
    if affine.scheme.axis is None and scale.numel() != 1:
        raise ValueError("a quantizer has scales for channels and no axis")
    if not bool((scale.isfinite() & (scale > 0)).all()):
        raise ValueError("a quantizer's scale is not above 0")
    if zero_point.dtype != torch.int32 or not _within(zero_point, affine.grid):
        raise ValueError("a quantizer's zero point is not on its grid")


def _within(values: torch.Tensor, grid: IntGrid) -> bool:
    return values.numel() == 0 or bool((values >= grid.qmin).all() and (values <= grid.qmax).all())


def _switch(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r:.40}")
    return value
