"""A network's grids in the format of AIMET's encodings, version 1.0.0: a JSON file beside the model.

An entry says of one tensor: `bw` bits, `scale`, and `offset`, such that the k-th grid value, k = 0 ... 2^bw - 1, is
scale * (k + offset). So offset = -zero_point on an unsigned grid, and -2^(bw - 1) - zero_point on a signed one.
Activations go by the name of their quantizer, weights by their key in the state dict.

Source: AIMET, Encoding format specification, version 1.0.0,
https://quic.github.io/aimet-pages/releases/latest/overview/encoding_spec.html.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from microjoule.deploy.integer_layer import integer_weight
from microjoule.errors import FileError, GraphError, SettingError
from microjoule.formats.bounded_file import read_text
from microjoule.formats.bounded_text import read_json
from microjoule.graph.network import Network, takes_network
from microjoule.graph.ops import Layer
from microjoule.graph.quantizer import Quantizer
from microjoule.numerics.affine import Affine
from microjoule.numerics.grid import IntGrid
from microjoule.records.facts import Calibrated, RangeFound

VERSION = "1.0.0"
PRODUCER = "microjoule"
REMEDY = "write it again with export(network, path, encodings=...)"
SMALLEST, LARGEST = math.ldexp(1, -149), math.ldexp(2 - 2**-23, 127)
"""Of positive numbers of 32 bits."""

LISTS = ("activation_encodings", "param_encodings")


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


@takes_network
def load_encodings(network: Network, path: str | Path, *, partial: bool = False) -> Calibrated:
    """Give a network's quantizers the grids of an encodings file, in place, all of them or none.

    Args:
        network: with a quantizer wherever the file has an entry (mj.quantize puts them there).
        path: of the file.
        partial: let quantizers that the file has no entry for keep the range that they have, or have none.

    Returns:
        The record, which the network's history gets as well; it names the quantizers that have a range from the file.

    Raises:
        FileError: if the file is missing, is no encodings file, or of another version.
        GraphError: if the file has an entry for something that has no quantizer in the network, or of another size, or
            no entry for a quantizer of the network.
    """
    document = _read(path)
    activations, layers = network.quantizers, {weight_key(layer): layer for layer in network.layers if layer.quantizer}
    weights = {name: layer.quantizer for name, layer in layers.items() if layer.quantizer is not None}
    chosen: dict[str, Affine] = {}
    for key, known in zip(LISTS, (activations, weights), strict=True):
        found = _entries(document[key], known, str(path))
        for name, affine in found.items():
            _check_size(name, affine, layers.get(name) if key == LISTS[1] else None)
        missing = [name for name in known if name not in found]
        if missing and not partial:
            raise GraphError(
                missing[0],
                f"has a quantizer, and no encoding in {path}, so that it would keep the range that it has",
                remedy="write an entry for it, leave its quantizer out (mj.quantize), or say partial=True",
            )
        chosen |= found
    for name, affine in chosen.items():
        (activations | weights)[name].set_affine(affine)
    record = Calibrated(str(path), "encodings", 0, tuple(_range(n, a) for n, a in chosen.items() if n in activations))
    network.history.append(record)
    return record


def _entries(entries: Any, known: Mapping[str, Quantizer], path: str) -> dict[str, Affine]:
    """A list of the file, by name."""
    found: dict[str, Affine] = {}
    for entry in entries:
        name = entry.get("name")
        if not isinstance(name, str) or name in found:
            raise FileError(path, f"has two encodings, or one without a name, for {name!r:.80}", remedy=REMEDY)
        if name not in known:
            raise GraphError(name, f"has an encoding in {path} and no quantizer", remedy="quantize the network first")
        found[name] = _affine(entry, known[name], f"{path}: {name}")
    return found


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
    like = quantizer.scheme
    try:
        scales, offsets, one = _numbers(entry)
        grid = IntGrid(entry["bw"], signed=like.grid.signed, narrow=like.grid.narrow)
        if not one and like.axis is None:
            raise ValueError("it has a scale for each channel, and the quantizer one for the tensor")
        if not isinstance(entry["is_sym"], bool):
            raise ValueError(f"it is {entry['is_sym']!r:.40} that it is symmetric")
        first, middle = (-(2 ** (grid.bits - 1)), 0) if grid.signed else (0, 2 ** (grid.bits - 1))
        zero_points = [first - offset for offset in offsets]
        if any(not grid.qmin <= zero <= grid.qmax for zero in zero_points):
            raise ValueError("it has an offset outside its grid")
        if entry["is_sym"] and any(zero != middle for zero in zero_points):
            raise ValueError("it says that it is symmetric, and has an offset")
    except KeyError as error:
        raise FileError(place, f"is no integer encoding: it lacks {error.args[0]!r}", remedy=REMEDY) from error
    except (ValueError, SettingError) as error:
        fact = error.fact if isinstance(error, SettingError) else str(error)
        raise FileError(place, f"is no integer encoding: {fact}", remedy=REMEDY) from error
    scheme = replace(like, grid=grid, symmetric=entry["is_sym"], axis=None if one else like.axis, block=None)
    scale, zero_point = torch.tensor(scales, dtype=torch.float32), torch.tensor(zero_points, dtype=torch.int32)
    return Affine(scheme, scale[0], zero_point[0]) if one else Affine(scheme, scale, zero_point)


def _numbers(entry: dict[str, Any]) -> tuple[list[float], list[int], bool]:
    """The scales and offsets of an entry, and whether it has one for the whole tensor.

    Raises:
        ValueError, KeyError: if they are none.
    """
    scales, offsets, kind = entry["scale"], entry["offset"], (entry["dtype"], entry["enc_type"])
    if kind not in (("INT", "PER_TENSOR"), ("INT", "PER_CHANNEL")):
        raise ValueError(f"its type is {' '.join(map(str, kind)):.80}")
    if not isinstance(scales, list) or not isinstance(offsets, list) or len(scales) != len(offsets) or not scales:
        raise ValueError("it has no list of scales, or not an offset for each")
    one = kind[1] == "PER_TENSOR"
    if one and len(scales) != 1:
        raise ValueError(f"it has {len(scales)} scales for one tensor")
    if any(type(scale) not in (int, float) or not SMALLEST <= scale <= LARGEST for scale in scales):
        raise ValueError("a scale is not above 0, or no number of 32 bits")
    if any(type(offset) is not int for offset in offsets):
        raise ValueError("an offset is no whole number")
    return [float(scale) for scale in scales], offsets, one


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
    document = read_json(read_text(path, remedy=REMEDY), str(path), remedy=REMEDY)
    lists = isinstance(document, dict) and all(isinstance(document.get(key), list) for key in LISTS)
    if not lists or not all(isinstance(entry, dict) for key in LISTS for entry in document[key]):
        raise FileError(str(path), f"does not hold the lists {' and '.join(LISTS)}", remedy="give an encodings file")
    if document.get("version") != VERSION:
        fact = f"has encodings of version {document.get('version')!r:.40}"
        raise FileError(str(path), fact, remedy=f"write them as version {VERSION}")
    found: dict[str, Any] = document
    return found
