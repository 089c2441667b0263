"""What a command line calls data, to batches."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from microjoule.cli import python_file
from microjoule.cli.image_folder import image_folder
from microjoule.cli.models import ZOO, Model
from microjoule.cli.names import NORMALISATIONS
from microjoule.cli.values import whole_numbers
from microjoule.errors import DataError, FileError, SettingError
from microjoule.execution.batches import Batches, batches, first
from microjoule.formats.arrays import Array
from microjoule.formats.bounded_file import exists, is_folder
from microjoule.zoo import cards, folders
from microjoule.zoo.data import dataset
from microjoule.zoo.preprocessing import Normalisation
from microjoule.zoo.super_resolution_pairs import SuperResolution

REMEDY = "give a folder of images, an .npz file with x and y, module.py:function, or zoo:NAME"
BATCH = 32
MOST_CLASSES = 1 << 31


@dataclass(frozen=True, slots=True)
class Reading:
    """How data is read.

    Args:
        size: height and width of images, as the user wrote them; None for the model's.
        normalise: a name of cli.names; None for what suits the source.
        samples: only the first so many; None for all.
        zoo_data: the zoo's data folder; None for its default.
    """

    size: str | None = None
    normalise: str | None = None
    samples: int | None = None
    zoo_data: Path | None = None


def find_data(source: str, model: Model, reading: Reading) -> Batches:
    """The data that a source names, prepared for a model.

    Args:
        source: a folder of images, an `.npz` file with x (and y), `module.py:function`, or `zoo:NAME`, which may say
            whose preprocessing to use: `zoo:NAME@MODEL`.
        model: whose inputs they shall be.
        reading: how.

    Raises:
        MicrojouleError: if there is no such data, it cannot be read, or it does not fit the model.
    """
    if reading.samples is not None and reading.samples < 1:
        raise SettingError("--samples", f"is {reading.samples}", remedy="use at least 1, or leave it out for all")
    found = _found(source, model, reading)
    return found if reading.samples is None else first(found, reading.samples)


def find_both(
    data: str, calibration: str | None, model: Model, reading: Reading, *, calibration_samples: int | None
) -> tuple[Batches, Batches | None]:
    """The labelled data that a score is taken on, and the inputs of methods, or None if these have no source.

    Args:
        data: as the source of `find_data`.
        calibration: likewise, or None.
        model: as there.
        reading: how.
        calibration_samples: the first so many of the inputs; None for all.

    Raises:
        MicrojouleError: as `find_data`.
    """
    labelled = find_data(data, model, reading)
    own = replace(reading, samples=calibration_samples)
    return labelled, None if calibration is None else find_data(calibration, model, own)


def _found(source: str, model: Model, reading: Reading) -> Batches:
    if source.startswith(ZOO):
        name, _, of = source.removeprefix(ZOO).partition("@")
        card = cards.card(of) if of else model.card
        data = dataset(name, card.name if card else None, data=reading.zoo_data, limit=reading.samples)
        if not isinstance(data, SuperResolution):  # its images have sizes of their own
            _check_shape(source, data[0][0].shape, model)
        return batches(data, batch_size=_batch_size(model))
    if python_file.is_python(source):
        return batches(python_file.call(source), batch_size=_batch_size(model), name=source)
    path = Path(source)
    if is_folder(path):
        return _images(path, model, reading)
    if not exists(path):
        raise FileError(source, "there is no such data", remedy=REMEDY)
    if path.suffix != ".npz":
        raise FileError(source, "is no data that microjoule reads", remedy=REMEDY)
    return _arrays(path, model, reading)


def _batch_size(model: Model) -> int:
    """What goes through the network at once: a fixed batch is the example's."""
    return BATCH if model.network.dynamic_batch else int(_example(model).shape[0])


def _example(model: Model) -> Tensor:
    tensors = model.network.example.tensors
    if len(tensors) != 1:
        raise DataError(
            model.source,
            f"takes {len(tensors)} tensors, and files hold one input a sample",
            remedy="give the data as module.py:function, which may return any inputs",
        )
    return tensors[0]


def _images(path: Path, model: Model, reading: Reading) -> Batches:
    shape = tuple(_example(model).shape[1:])
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise DataError(str(path), f"holds images, and {model.source} takes {shape}", remedy=REMEDY)
    size = (shape[1], shape[2]) if reading.size is None else _size(reading.size)
    if reading.normalise is None and model.card is not None:
        return image_folder(path, shape[0], size, model.card.prepare, _batch_size(model))
    name = reading.normalise or ("imagenet" if shape[0] == 3 else "unit")
    return image_folder(path, shape[0], size, _normalisation(name, shape[0]), _batch_size(model))


def _size(text: str) -> tuple[int, int]:
    sizes = whole_numbers("--size", text, at_least=1)
    if len(sizes) > 2 or max(sizes) > 2**14:
        raise SettingError("--size", f"is {text!r}", remedy="write HEIGHT,WIDTH, or one number for a square")
    return sizes[0], sizes[-1]


def _normalisation(name: str, channels: int) -> Normalisation:
    if name not in NORMALISATIONS:
        raise SettingError("--normalise", f"is {name!r}", remedy=f"use one of {', '.join(NORMALISATIONS)}")
    known = NORMALISATIONS[name]
    if channels == len(known.mean):
        return known
    return Normalisation(known.mean[:1] * channels, known.std[:1] * channels, known.peak)


def _arrays(path: Path, model: Model, reading: Reading) -> Batches:
    arrays = folders.read_arrays(path)
    if "x" not in arrays:
        raise DataError(
            str(path),
            f"holds {', '.join(arrays) or 'nothing'}, and no x",
            remedy="save inputs as x (n, ...) and labels as y",
        )
    x, example = _inputs(path, arrays["x"], reading), _example(model)
    _check_shape(str(path), x.shape[1:], model)
    if x.dtype != example.dtype:
        raise DataError(
            str(path),
            f"holds x of {x.dtype}, and the network takes {example.dtype}",
            remedy="store x as the network wants it, or say how with --normalise, if x holds pixels",
        )
    data = (x, _targets(path, arrays["y"])) if "y" in arrays else x
    return batches(data, batch_size=_batch_size(model), name=path.name)


def _targets(path: Path, stored: Array) -> Array:
    """Labels, one a sample, are whole numbers however they are stored; targets of more dimensions may be any."""
    if stored.dtype.kind not in "fiub" or stored.ndim == 0:
        fact = f"holds y of {stored.dtype} and shape {stored.shape}"
        raise DataError(str(path), fact, remedy="store the number of its class for each sample (n,)")
    if stored.dtype.kind != "f":
        return stored
    if not bool(np.isfinite(stored).all()):
        raise DataError(str(path), "holds NaN or infinite targets", remedy="leave these samples out")
    if stored.ndim > 1:
        return stored
    if bool((stored != np.floor(stored)).any()) or bool((np.abs(stored) > MOST_CLASSES).any()):
        wrong = stored[(stored != np.floor(stored)) | (np.abs(stored) > MOST_CLASSES)][0]
        fact = f"holds {wrong} among its labels, which is the number of no class"
        raise DataError(str(path), fact, remedy="store whole numbers as y (n,)")
    return stored.astype(np.int64)


def _check_shape(place: str, shape: Sequence[int], model: Model) -> None:
    """A network with a pooling over all positions runs on other sizes than it was made for, and errs."""
    got, wanted = tuple(shape), tuple(_example(model).shape[1:])
    if got != wanted:
        raise DataError(
            place, f"holds inputs of shape {got}, and the network takes {wanted}", remedy="bring them to that shape"
        )


def _inputs(path: Path, stored: Array, reading: Reading) -> Tensor:
    if stored.dtype.kind not in "fiub" or stored.ndim == 0:
        raise DataError(
            str(path), f"holds x of {stored.dtype} and shape {stored.shape}", remedy="store numbers (n, ...)"
        )
    x = torch.from_numpy(np.require(stored, stored.dtype.newbyteorder("="), ["C", "W"]))
    x = x.float() if x.is_floating_point() else x
    if reading.normalise is None:
        return x
    if x.dim() != 4 or x.dtype != torch.uint8:
        raise SettingError(
            "--normalise", f"is for pixels, and {path} holds {x.dtype} {tuple(x.shape)}", remedy="leave it out"
        )
    normalise = _normalisation(reading.normalise, x.shape[1])
    return torch.stack([normalise(image) for image in x]) if len(x) else x.float()
