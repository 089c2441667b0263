"""Data sets by name.

How a folder is read is decided by the files in it, so that another folder of the same layout works too.
"""

from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from microjoule.errors import DataError, SettingError
from microjoule.zoo import coco, image_sets
from microjoule.zoo.cards import card
from microjoule.zoo.digits import digits
from microjoule.zoo.folders import part_of, set_folder
from microjoule.zoo.super_resolution_pairs import SuperResolution
from microjoule.zoo.weights import data_folder

DIGITS_SETS = {"digits_train": "train", "digits_test": "test"}


def dataset(
    name: str, model: str | None = None, *, data: str | Path | None = None, limit: int | None = None
) -> Dataset[tuple[Any, Any]]:
    """A map-style data set of (input, target), prepared as a model of the zoo wants it.

    Args:
        name: a folder of the data folder, such as "imagenet_val650_dev", or a part of one, such as "mnist/train"
            (the test part if none is named); "digits_train" and "digits_test" need no data folder.
        model: whose preprocessing to use; needed for colour images.
        data: the data folder; if None, the environment variable MICROJOULE_DATA, else `../shared/data`.
        limit: only the first so many samples.

    Raises:
        SettingError: the model is unknown, or needed and not given.
        FileError: the folder or a file is missing or damaged.
        DataError: what is in the files cannot be used.
    """
    if limit is not None and limit < 1:
        raise SettingError("limit", f"is {limit}", remedy="ask for at least one sample, or for all with None")
    entry = card(model) if model else None
    if name in DIGITS_SETS:
        return digits(DIGITS_SETS[name], limit)
    folder, part = set_folder(data_folder(data), name, DIGITS_SETS)
    if (folder / "images.zip").is_file():
        if entry is None:
            raise image_sets.model_needed(name)
        return image_sets.from_zip(folder, entry, limit)
    if (folder / "coco.zip").is_file():
        if entry is None:
            raise image_sets.model_needed(name)
        return coco.of_part(folder, part, entry, limit)
    if any(folder.glob("sr*.zip")):
        return SuperResolution(folder, part or "Set5", limit)
    if any(folder.glob("*.npz")):
        return image_sets.from_npz(part_of(folder, part), entry, limit)
    raise DataError(
        str(folder), "holds no images.zip, coco.zip, sr*.zip or *.npz", remedy="give a folder of one of these layouts"
    )
