"""What a command line calls data, to batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from microjoule.cli import python_file
from microjoule.cli.describe import Words, describe, image_channels, normalise_needed
from microjoule.cli.image_folder import Images, found_in, image_folder
from microjoule.cli.models import ZOO, Model
from microjoule.cli.sampling import sampled, spread_order
from microjoule.errors import DataError, FileError, SettingError
from microjoule.execution.batches import BATCH, Batches, batches, first
from microjoule.execution.binding import Batch
from microjoule.execution.run import run
from microjoule.execution.signature import Signature
from microjoule.formats.arrays import Array
from microjoule.formats.bounded_file import exists, is_folder
from microjoule.graph.network import Network
from microjoule.graph.notice import CLASSES, notice
from microjoule.records.noticed import Noticed
from microjoule.zoo import cards, folders
from microjoule.zoo.data import dataset
from microjoule.zoo.image_sets import LabelledImages
from microjoule.zoo.super_resolution_pairs import SuperResolution

REMEDY = "give a folder of images, an .npz file with x and y, module.py:function, or zoo:NAME"
MOST_CLASSES = 1 << 31


@dataclass(frozen=True, slots=True)
class Reading:
    """How a model and its data are read.

    Args:
        size: of images; this and the next ones as in `Words`.
        normalise: what pixels become.
        prepare: more of images.
        input_range: of inputs.
        classes: a class list.
        samples: so many, spread over the classes; None for all.
        zoo_data: the zoo's data folder; None for its default.
        seed: of the order in which samples are read.
        shape: of one sample, for a model without example inputs.
        device: where the model is to run; None for the processor.
    """

    size: str | None = None
    normalise: str | None = None
    prepare: Sequence[str] | None = None
    input_range: str | None = None
    classes: Path | None = None
    samples: int | None = None
    zoo_data: Path | None = None
    seed: int = 0
    shape: str | None = None
    device: str | None = None

    @property
    def words(self) -> Words:
        """What the user said of inputs and classes."""
        return Words(self.size, self.normalise, self.prepare, self.input_range, self.classes)


def find_data(source: str, model: Model, reading: Reading) -> Batches:
    """The data that a source names, prepared for a model as its card says.

    Args:
        source: a folder of images, an `.npz` file with x (and y), `module.py:function`, or `zoo:NAME`, which may say
            whose preprocessing to use: `zoo:NAME@MODEL`.
        model: whose inputs they shall be; its card takes in what the user said of them.
        reading: how.

    Raises:
        MicrojouleError: if there is no such data, it cannot be read, or it does not fit the model.
    """
    if reading.samples is not None and reading.samples < 1:
        raise SettingError("--samples", f"is {reading.samples}", remedy="use at least 1, or leave it out for all")
    describe(model.network, reading.words)
    if source.startswith(ZOO):
        return _of_zoo(source, model, reading)
    if python_file.is_python(source):
        return first(batches(python_file.call(source), model.network, name=source), reading.samples)
    path = Path(source)
    if is_folder(path):
        return _images(path, model, reading)
    if not exists(path):
        raise FileError(source, "there is no such data", remedy=REMEDY)
    if path.suffix != ".npz":
        raise FileError(source, "is no data that microjoule reads", remedy=REMEDY)
    return _arrays(path, model, reading)


def find_both(
    data: str, calibration: str | None, model: Model, reading: Reading, *, calibration_samples: int | None
) -> tuple[Batches, Batches | None]:
    """The labelled data that a score is taken on, and the inputs of methods, or None if these have no source.

    Args:
        data: as the source of `find_data`.
        calibration: likewise, or None.
        model: as there.
        reading: how.
        calibration_samples: so many of the inputs; None for all.

    Raises:
        MicrojouleError: as `find_data`.
    """
    labelled = find_data(data, model, reading)
    own = replace(reading, samples=calibration_samples)
    return labelled, None if calibration is None else find_data(calibration, model, own)


def _of_zoo(source: str, model: Model, reading: Reading) -> Batches:
    name, _, of = source.removeprefix(ZOO).partition("@")
    card = cards.card(of) if of else model.card
    data: Any = dataset(name, card.name if card else None, data=reading.zoo_data)
    if not isinstance(data, SuperResolution):  # its images have sizes of their own
        _check_shape(source, data[0][0].shape, model)
    return batches(sampled(data, getattr(data, "labels", None), reading.samples, reading.seed), model.network)


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
    channels, how = image_channels(model.network), model.network.card.preprocessing
    if channels is None:
        raise DataError(
            str(path), f"holds images, and {model.source} takes {tuple(_example(model).shape[1:])}", remedy=REMEDY
        )
    if how is None:
        raise normalise_needed(str(path))
    how, shape = how.for_channels(channels), _example(model).shape
    inner = shape[1:3] if how.layout == "NHWC" else shape[2:4]
    found = found_in(path, model.network.card.labels)
    if found.labels is not None and not found.listed:
        _compare_classes(path, found.names, model.network)
    images = image_folder(path, found, how, how.size or (int(inner[0]), int(inner[1])))
    made = batches(sampled(images, found.labels, reading.samples, reading.seed), model.network)
    return replace(made, labelled=found.labels is not None)


def _compare_classes(path: Path, names: dict[int, str], network: Network) -> None:
    """Tell of folders whose numbers nothing confirms: where the network has another number of classes, or labels."""
    outputs = [leaf for leaf in pytree.tree_leaves(run(network, _example_inputs(network))) if isinstance(leaf, Tensor)]
    classes = outputs[0].shape[1] if len(outputs) == 1 and outputs[0].dim() == 2 else None
    numbered = all(name.isdecimal() for name in names.values())
    remedy = "give the class list, --classes FILE, or name folders by the numbers of their classes"
    if network.card.labels and not numbered:
        fact = "has class folders that the network's labels do not name; they are numbered in the order of their names"
        notice(network, Noticed(CLASSES, str(path), fact, remedy))
    elif classes is not None and len(names) != classes and not numbered:
        fact = f"has {len(names)} class folders, numbered as their names are sorted, and the network {classes} classes"
        notice(network, Noticed(CLASSES, str(path), fact, remedy))


def _example_inputs(network: Network) -> tuple[Any, ...]:
    signature = Signature.of(network)
    assert signature is not None
    return tuple(entry.example for entry in signature.inputs)


def _arrays(path: Path, model: Model, reading: Reading) -> Batches:
    arrays: dict[str, Any] = folders.read_arrays(path)
    signature = Signature.of(model.network)
    assert signature is not None
    names = [entry.name for entry in signature.needed]
    if len(names) > 1 and all(name in arrays for name in names):
        given = {name: arrays[name] for name in (*names, "y") if name in arrays}
        return first(batches(given, model.network, name=path.name), reading.samples)
    if "x" not in arrays:
        raise DataError(
            str(path),
            f"holds {', '.join(arrays) or 'nothing'}, and no x",
            remedy="save inputs as x (n, ...) and labels as y",
        )
    x = arrays["x"]
    if x.dtype.kind not in "fiub" or x.ndim == 0:
        raise DataError(str(path), f"holds x of {x.dtype} and shape {x.shape}", remedy="store numbers (n, ...)")
    if "y" in arrays:
        arrays["y"] = _targets(path, arrays["y"])
    arrays["x"] = np.require(x, x.dtype.newbyteorder("="), ["C", "W"])
    read = _of_pixels if _are_pixels(x, model) else _of_inputs
    return read(path, arrays, model, reading)


def _are_pixels(x: np.ndarray[Any, Any], model: Model) -> bool:
    """Whether an array holds stored images, for a network that takes prepared ones."""
    return x.dtype == np.uint8 and x.ndim == 4 and _example(model).is_floating_point()


def _of_pixels(path: Path, arrays: dict[str, Any], model: Model, reading: Reading) -> Batches:
    """Stored images, prepared one after another as they are read."""
    x, how, labels = torch.from_numpy(arrays["x"]), model.network.card.preprocessing, _labels(path, arrays)
    if how is None:
        raise normalise_needed(str(path))
    numbers = labels if labels is not None else [0] * len(x)
    images = LabelledImages(path.name, x.__getitem__, numbers, how.for_channels(x.shape[1]))
    _check_shape(str(path), images[0][0].shape, model)
    plain = Images(images, labelled=labels is not None)
    made = batches(sampled(plain, labels, reading.samples, reading.seed), model.network)
    return replace(made, labelled=labels is not None)


def _of_inputs(path: Path, arrays: dict[str, Any], model: Model, reading: Reading) -> Batches:
    """Inputs as they are, picked batch by batch."""
    x, y, example = arrays["x"], arrays.get("y"), _example(model)
    if reading.words.normalise is not None:
        fact = f"is for stored images, and {path} holds x of {x.dtype} {x.shape}"
        raise SettingError("--normalise", fact, remedy="leave it out")
    _check_shape(str(path), x.shape[1:], model)
    if x.dtype == np.uint8 and example.is_floating_point():
        fact = f"holds x of {x.dtype}, and the network takes {str(example.dtype).removeprefix('torch.')}"
        raise DataError(str(path), fact, remedy="store x as the network wants it, or as images (n, channels, h, w)")
    source = batches(x if y is None else (x, y), model.network, name=path.name)
    classes = y.tolist() if y is not None and y.shape == (len(x),) and y.dtype.kind in "iu" else [0] * len(x)
    order = torch.tensor(spread_order(classes, reading.seed)[: reading.samples])

    def start() -> Iterator[Batch]:
        for some in order.split(BATCH):
            yield Batch((x[some.numpy()],), None if y is None else y[some.numpy()])

    name = path.name if len(order) == len(x) else f"{path.name} ({len(order)} of {len(x)}, seed {reading.seed})"
    return replace(source, start=start, name=name, samples=len(order), bind=None)


def _labels(path: Path, arrays: dict[str, Any]) -> list[int] | None:
    """The labels of stored images; None if there are none."""
    x, y = arrays["x"], arrays.get("y")
    if y is None:
        return None
    if y.shape != (len(x),) or y.dtype.kind not in "iu":
        fact = f"holds {len(x)} images and y of {y.dtype} {y.shape}"
        raise DataError(str(path), fact, remedy="store the number of each one's class")
    numbers: list[int] = y.tolist()
    return numbers


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
