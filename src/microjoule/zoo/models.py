"""A model of the zoo by its name."""

from pathlib import Path

from torch import nn

from microjoule.zoo.cards import EMBEDDED, card
from microjoule.zoo.weights import data_folder, filled, seeded


def load(name: str, data: str | Path | None = None) -> nn.Module:
    """A model of the zoo in eval mode: with its trained weights, or with random ones from a fixed seed if it has none.

    Args:
        name: one of `names()`.
        data: the folder that holds `weights`; if None, the environment variable MICROJOULE_DATA, else `../shared/data`.

    Raises:
        SettingError: there is no such model.
        FileError: its weights are missing or damaged.
    """
    entry = card(name)
    if entry.licence is None:
        return seeded(entry.build)
    if name in EMBEDDED:
        return filled(entry.build(), Path(__file__).with_name("embedded") / f"{name}.safetensors")
    path = data_folder(data) / "weights" / f"{name}.safetensors"
    return filled(entry.build(), path, entry.rename)
