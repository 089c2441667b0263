"""A network's grids in the format of AIMET's encodings, version 1.0.0: a JSON file beside the model.

An entry says of one tensor: `bw` bits, `scale`, and `offset`, such that the k-th grid value, k = 0 ... 2^bw - 1, is
scale * (k + offset). So offset = -zero_point on an unsigned grid, and -2^(bw - 1) - zero_point on a signed one.
Activations go by the name of their quantizer, weights by their key in the state dict.

Source: AIMET, Encoding format specification, version 1.0.0,
https://quic.github.io/aimet-pages/releases/latest/overview/encoding_spec.html.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from microjoule.deploy.integer_layer import integer_weight
from microjoule.errors import FileError, GraphError, SettingError
from microjoule.graph.network import Network
from microjoule.graph.ops import Layer
from microjoule.graph.quantizer import Quantizer
from microjoule.numerics.affine import Affine
from microjoule.numerics.grid import IntGrid
from microjoule.records.facts import Calibrated, RangeFound

VERSION = "1.0.0"
PRODUCER = "microjoule"


def encodings_text(network: Network) -> str:
    """The grids of a network as the text of an encodings file.

    Raises:
        GraphError: for a quantizer without a range.
    """
    activations = [_entry(name, quantizer.affine) for name, quantizer in network.quantizers.items()]
    layers = [layer for layer in network.layers if layer.quantizer is not None]
    document = {
        "version": VERSION,
        "producer": PRODUCER,
        "activation_encodings": activations,
        "param_encodings": [_entry(weight_key(layer), integer_weight(layer)[1]) for layer in layers],
        "excluded_layers": [layer.path for layer in network.layers if layer.quantizer is None],
    }
    return json.dumps(document, indent=1)


def load_encodings(network: Network, path: str | Path) -> Calibrated:
    """Give a network's quantizers the grids of an encodings file, in place.

    Args:
        network: with a quantizer wherever the file has an entry (mj.quantize puts them there).
        path: of the file.

    Returns:
        The record, which the network's history gets as well.

    Raises:
        FileError: if the file is missing, is no encodings file, or of another version.
        GraphError: if the file has an entry for something that has no quantizer in the network, or of another size.
    """
    document = _read(path)
    activations, layers = network.quantizers, {weight_key(layer): layer for layer in network.layers if layer.quantizer}
    weights = {name: layer.quantizer for name, layer in layers.items() if layer.quantizer is not None}
    chosen: list[tuple[str, Quantizer, Affine]] = []
    for key, known in (("activation_encodings", activations), ("param_encodings", weights)):
        for entry in document[key]:
            name = str(entry.get("name"))
            if name not in known:
                raise GraphError(
                    name, f"has an encoding in {path} and no quantizer", remedy="quantize the network first"
                )
            affine = _affine(entry, known[name], f"{path}: {name}")
            _check_size(name, affine, layers.get(name) if key == "param_encodings" else None)
            chosen.append((name, known[name], affine))
    for _, quantizer, affine in chosen:
        quantizer.set_affine(affine)
    record = Calibrated(str(path), "encodings", 0, tuple(_range(n, a) for n, _, a in chosen if n in activations))
    network.history.append(record)
    return record


def weight_key(layer: Layer) -> str:
    """A layer's weight's key in the state dict of the network before it was quantized."""
    return f"{layer.path}.weight" if layer.node.op == "call_module" else layer.path


# One entry ------------------------------------------------------------------------------------------------------------


def _entry(name: str, affine: Affine) -> dict[str, Any]:
    grid = affine.grid
    first = -(2 ** (grid.bits - 1)) if grid.signed else 0
    middle = 0 if grid.signed else 2 ** (grid.bits - 1)
    return {
        "name": name,
        "dtype": "INT",
        "bw": grid.bits,
        "enc_type": "PER_TENSOR" if affine.scale.dim() == 0 else "PER_CHANNEL",
        "is_sym": affine.scheme.symmetric and bool((affine.zero_point == middle).all()),
        "scale": affine.scale.double().reshape(-1).tolist(),
        "offset": (first - affine.zero_point).reshape(-1).tolist(),
    }


def _affine(entry: dict[str, Any], quantizer: Quantizer, place: str) -> Affine:
    """An entry as a grid; whether it is signed, and narrow, is the quantizer's, as the format does not say it."""
    try:
        scale, offset = (
            torch.tensor(entry["scale"], dtype=torch.float32),
            torch.tensor(entry["offset"], dtype=torch.int32),
        )
        like, one = quantizer.scheme, entry["enc_type"] == "PER_TENSOR"
        grid = IntGrid(entry["bw"], signed=like.grid.signed, narrow=like.grid.narrow)
        if entry["dtype"] != "INT" or entry["enc_type"] not in ("PER_TENSOR", "PER_CHANNEL"):
            raise ValueError(f"its type is {entry['dtype']} {entry['enc_type']}")
        if scale.dim() != 1 or scale.shape != offset.shape or (one and len(scale) != 1):
            raise ValueError(f"it has scales of shape {tuple(scale.shape)} and offsets of shape {tuple(offset.shape)}")
        if not bool((torch.isfinite(scale) & (scale > 0)).all()):
            raise ValueError("a scale is not above 0")
        if not one and like.axis is None:
            raise ValueError("it has a scale for each channel, and the quantizer one for the tensor")
    except (KeyError, TypeError, ValueError, RuntimeError, SettingError) as error:
        raise FileError(
            place, f"is no integer encoding: {error}", remedy="write it again with export(network, path, encodings=...)"
        ) from error
    first = -(2 ** (grid.bits - 1)) if grid.signed else 0
    zero_point = (first - offset).to(torch.int32)
    if bool(((zero_point < grid.qmin) | (zero_point > grid.qmax)).any()):
        raise FileError(
            place, "has an offset outside its grid", remedy="quantize the network as the file was quantized"
        )
    scheme = replace(like, grid=grid, symmetric=bool(entry["is_sym"]), axis=None if one else like.axis, block=None)
    return Affine(scheme, scale[0], zero_point[0]) if one else Affine(scheme, scale, zero_point)


def _check_size(name: str, affine: Affine, layer: Layer | None) -> None:
    if affine.scheme.axis is None or layer is None:
        return
    channels = layer.stored_weight.shape[affine.scheme.axis]
    if len(affine.scale) != channels:
        raise GraphError(
            name,
            f"has {channels} channels, and its encoding {len(affine.scale)}",
            remedy="use the encodings of this network",
        )


def _range(name: str, affine: Affine) -> RangeFound:
    low = _end(affine, affine.grid.qmin)
    high = _end(affine, affine.grid.qmax)
    return RangeFound(name, low, high, low, high)


def _end(affine: Affine, integer: int) -> float:
    ends: Tensor = (integer - affine.zero_point) * affine.scale
    return float(ends.abs().max()) if integer > 0 else -float(ends.abs().max())


def _read(path: str | Path) -> dict[str, Any]:
    try:
        document = json.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise FileError(str(path), f"cannot be read: {error.strerror or error}", remedy="check the path") from error
    except (UnicodeDecodeError, ValueError) as error:
        raise FileError(str(path), f"is not valid JSON: {error}", remedy="write it again with export(...)") from error
    wanted = ("activation_encodings", "param_encodings")
    lists = isinstance(document, dict) and all(isinstance(document.get(key), list) for key in wanted)
    if not lists or not all(isinstance(entry, dict) for key in wanted for entry in document[key]):
        raise FileError(str(path), f"does not hold the lists {' and '.join(wanted)}", remedy="give an encodings file")
    if document.get("version") != VERSION:
        raise FileError(
            str(path), f"has encodings of version {document.get('version')}", remedy=f"write them as version {VERSION}"
        )
    found: dict[str, Any] = document
    return found
